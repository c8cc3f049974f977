#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "serve.hpp"
#include "serverledge/assembly/configuration_file.hpp"
#include "serverledge/assembly/open_node.hpp"

namespace serverledge {
namespace {

constexpr const char* kFooter =
    R"(Without a file, serverledge-conf.yaml (.yml, .toml) is looked for in /etc/serverledge, the home folder and the
current one. Any key can be set from the environment, e.g. SERVERLEDGE_API_PORT=8080.

SIGTERM and SIGINT stop the node after the calls that run, within api.drain seconds; a second one stops it at once.

Exit codes:
  0  stopped, or the configuration is fine
  1  wrong usage, or an error in the configuration
  2  the node could not be started
  3  stopped at once: calls were cut off

Examples:
  serverledge
  serverledge /etc/serverledge/node.yaml
  SERVERLEDGE_STORE_PATH=:memory: serverledge
  serverledge --print-config)";

void print_configuration(const Configuration& configuration) {
  for (const Configuration::Effective& row : configuration.effective()) {
    const bool secret = row.key == "etcd.password" && !row.value.empty();
    fmt::print("{} = {}  # {}\n", row.key, secret ? "(hidden)" : row.value, row.origin);
  }
}

int run(int argc, char** argv) {
  CLI::App app("Runs a node: functions over HTTP, in sandboxes of this machine.", "serverledge");
  std::string file;
  bool check = false;
  bool print = false;
  app.add_option("config", file, "Configuration file (YAML or TOML)");
  app.add_flag("--check-config", check, "Read the configuration, say what is wrong with it, and end");
  app.add_flag("--print-config", print, "Print every key with its value and where that comes from, and end");
  app.set_version_flag("--version", std::string("serverledge " SERVERLEDGE_VERSION));
  app.footer(kFooter);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kStopped : kWrongUsage;
  }
  LoadOptions sources;
  if (!file.empty()) sources.file = file;
  sources.environment = process_environment();
  const Result<Configuration> configuration = load_configuration(sources);
  if (!configuration) {
    fmt::print(stderr, "serverledge: {}\n", configuration.error().message);
    return kWrongUsage;
  }
  if (print) print_configuration(*configuration);
  if (check) {
    if (const Result<void> checked = check_configuration(*configuration); !checked) {
      fmt::print(stderr, "serverledge: {}\n", checked.error().message);
      return kWrongUsage;
    }
    for (const std::string& warning : configuration->warnings())
      fmt::print(stderr, "serverledge: {}\n", warning);
    fmt::print("the configuration is fine\n");
  }
  return check || print ? kStopped : serve(*configuration);
}

}  // namespace
}  // namespace serverledge

int main(int argc, char** argv) {
  const int code = serverledge::run(argc, argv);
  if (std::fflush(stdout) != 0) return serverledge::kWrongUsage;
  return code;
}
