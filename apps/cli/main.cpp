#include <csignal>
#include <cstdio>
#include <utility>
#include <vector>

#include "answer.hpp"
#include "command.hpp"
#include "serverledge/assembly/configuration_file.hpp"

namespace serverledge::cli {
namespace {

constexpr Command kCommands[] = {
    {"create", "Register a function, or replace it",
     "Examples:\n"
     "  serverledge-cli create -f hello --src hello.py --handler hello.handler\n"
     "  serverledge-cli create -f hello --src hello.js --handler hello --runtime nodejs17ng --update\n"
     "  serverledge-cli create -f app --src app/ --handler main.run --memory 256 -C 4 -i n:Int -o "
     "result:Bool\n"
     "  serverledge-cli create -f app --src https://example.org/app.tar.gz --handler main.run --timeout 5\n"
     "  serverledge-cli create -f own --runtime custom --custom_image example/own:1",
     define_create},
    {"delete", "Remove a function",
     "Example:\n"
     "  serverledge-cli delete -f hello",
     define_delete},
    {"invoke", "Call a function",
     "Examples:\n"
     "  serverledge-cli invoke -f hello -p name:Ada -p 'greeting:good morning'\n"
     "  serverledge-cli invoke -f isprime -j input.json --raw\n"
     "  serverledge-cli invoke -f hello --return_output --resptime 0.5 --class 1\n"
     "  serverledge-cli invoke -f sieve --async      prints an id for 'serverledge-cli poll'",
     define_invoke},
    {"list", "Show the names of all functions",
     "Example:\n"
     "  serverledge-cli list",
     define_list},
    {"poll", "Show the answer of an asynchronous call",
     "Examples:\n"
     "  serverledge-cli poll --request ID\n"
     "  serverledge-cli poll --request ID --wait 30      waits for the answer, at most 30 seconds",
     define_poll},
    {"prewarm", "Start containers of a function before they are needed",
     "Examples:\n"
     "  serverledge-cli prewarm -f hello --count 4\n"
     "  serverledge-cli prewarm -f hello --count 0      only prepares: unpacks the code or pulls the image",
     define_prewarm},
    {"status", "Show the node's resources and warm containers",
     "Example:\n"
     "  serverledge-cli -H 192.0.2.7 -P 1323 status",
     define_status},
};

constexpr const char* kFooter =
    "'serverledge-cli <command> --help' shows the options of a command, and examples.\n"
    "\n"
    "Answers are printed on stdout as JSON, messages on stderr.\n"
    "Exit status: 0 success; 1 wrong usage, parameter or file of parameters; 2 the node refused, failed\n"
    "or could not be reached; 3 the function's source could not be read or packed; 4 bad signature.";

// The port that a node on this machine takes from its configuration file.
int configured_port() {
  LoadOptions options;
  options.environment = process_environment();
  const auto configuration = load_configuration(options);
  if (!configuration) fail(kOk, "the configuration file is not used: " + configuration.error().message);
  const auto port = configuration.value_or(Configuration()).integer("api.port");
  return port > 0 ? static_cast<int>(port) : NodeClient::kDefaultPort;
}

void add_global_options(CLI::App& app, NodeClient::Options& node) {
  app.add_option("-H,--host", node.host, "The node's host (127.0.0.1)")->envname("SERVERLEDGE_HOST");
  app.add_option("-P,--port", node.port, "The node's port (api.port of a configuration file, else 1323)")
      ->envname("SERVERLEDGE_PORT")
      ->check(CLI::Range(1, 65535));
  app.add_flag("-v,--verbose", node.verbose, "Tell of the exchange with the node on stderr");
}

int run(int argc, char** argv) {
  CLI::App app("Registers and calls functions on a Serverledge node.", "serverledge-cli");
  NodeClient::Options node;
  add_global_options(app, node);
  app.require_subcommand(0, 1);
  app.footer(kFooter);
  std::vector<std::pair<CLI::App*, Action>> actions;
  for (const Command& row : kCommands) {
    CLI::App* command = app.add_subcommand(row.name, row.description);
    command->fallthrough();  // the global options may stand behind the command too
    command->footer(row.examples);
    actions.emplace_back(command, row.define(*command));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  if (app.get_subcommands().empty()) return fail(kUsage, "a command is required; --help lists them");
  if (node.port == 0) node.port = configured_port();
  std::signal(SIGPIPE, SIG_IGN);  // cpp-httplib writes to a node that may have gone
  NodeClient client(node);
  for (const auto& [command, action] : actions) {
    if (command->parsed()) return action(client);
  }
  return kUsage;
}

}  // namespace

CLI::Option* add_repeatable(CLI::App& options, const char* names, std::vector<std::string>& values,
                            const char* description) {
  return options.add_option(names, values, description)->allow_extra_args(false);
}

}  // namespace serverledge::cli

int main(int argc, char** argv) {
  const int code = serverledge::cli::run(argc, argv);
  if (std::fflush(stdout) != 0)
    return serverledge::cli::fail(serverledge::cli::kUsage, "stdout cannot be written");
  return code;
}
