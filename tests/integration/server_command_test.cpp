// What an operator meets: the command line, the configuration and the first lines of the log of a real
// server.
#include <catch2/catch.hpp>
#include <fstream>
#include <string>
#include <vector>

#include "support/command_run.hpp"
#include "support/node_process.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {
namespace {

using Catch::Contains;
using Catch::StartsWith;

class Command {
 public:
  /// The file as `text`, and nothing else configured.
  explicit Command(const std::string& text = {}) { std::ofstream(path()) << text; }
  std::string path() const { return folder_.file("node.yaml"); }
  CommandRun run(std::vector<std::string> arguments, std::vector<std::string> environment = {}) const {
    arguments.insert(arguments.begin(), SERVERLEDGE_SERVER);
    environment.push_back("HOME=" + folder_.path().string());
    return run_command(arguments, environment);
  }

 private:
  TemporaryFolder folder_;
};

TEST_CASE("serverledge --check-config tells a good configuration from a bad one, and starts nothing",
          "[integration]") {
  const Command good("api:\n  port: 4711\nscheduler.policy: localonly\n");
  const CommandRun fine = good.run({"--check-config", good.path()});
  CHECK(fine.exit_code == 0);
  CHECK(fine.out == "the configuration is fine\n");
  CHECK(fine.err.empty());

  const auto refused = [](const std::string& text) {
    const Command bad(text);
    const CommandRun checked = bad.run({"--check-config", bad.path()});
    CHECK(checked.exit_code == 1);
    CHECK(checked.out.empty());
    // The same that a start says.
    const CommandRun started = bad.run({bad.path()});
    CHECK(started.exit_code == 1);
    CHECK_THAT(started.err, Contains(checked.err));
    return checked.err;
  };
  CHECK_THAT(refused("api.prot: 1\n"),
             Contains("node.yaml:1: ") && Contains("api.prot") && Contains("api.port"));
  CHECK_THAT(refused("\napi.port: 99999\n"), Contains("node.yaml:2: ") && Contains("65535"));
  CHECK_THAT(refused("log.level: loud\n"), Contains("log.level") && Contains("warning"));
  CHECK_THAT(refused("scheduler.policy: nowhere\n"),
             Contains("scheduler.policy") && Contains("nowhere") && Contains("localonly"));
}

TEST_CASE("a configuration file that is named and missing is an error, not a default", "[integration]") {
  const Command command;
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"/no/such/file.yaml"}, {"--check-config", "/no/such/file.yaml"}}) {
    const CommandRun run = command.run(arguments);
    CHECK(run.exit_code == 1);
    CHECK_THAT(run.err, Contains("/no/such/file.yaml"));
  }
}

TEST_CASE("serverledge --print-config shows every key with its value and where that comes from",
          "[integration]") {
  const Command command("api.port: 4711\nscheduler.queue.capacity: 7\n");
  const CommandRun run =
      command.run({"--print-config", command.path()}, {"SERVERLEDGE_SCHEDULER_QUEUE_CAPACITY=8"});
  CHECK(run.exit_code == 0);
  CHECK_THAT(run.out, Contains("api.port = 4711  # " + command.path() + ":1\n"));
  CHECK_THAT(run.out, Contains("scheduler.queue.capacity = 8  # ") &&
                          Contains("SERVERLEDGE_SCHEDULER_QUEUE_CAPACITY"));
  CHECK_THAT(run.out, Contains("container.pool.memory = ") && Contains("  # default\n"));
}

TEST_CASE("the file named on the command line wins over one in the home folder", "[integration]") {
  const Command command("api.port: 4711\n");
  const std::string home = command.path().substr(0, command.path().rfind('/'));
  std::ofstream(home + "/serverledge-conf.yaml") << "api.port: 4712\nasync.ttl: 5\n";
  const CommandRun named = command.run({"--print-config", command.path()});
  CHECK_THAT(named.out, Contains("api.port = 4711  # ") && Contains("async.ttl = 1800  # default"));
}

TEST_CASE("wrong usage exits with 1, help and version with 0", "[integration]") {
  const Command command;
  CHECK(command.run({"--nonsense"}).exit_code == 1);
  CHECK(command.run({"one.yaml", "two.yaml"}).exit_code == 1);
  const CommandRun help = command.run({"--help"});
  CHECK(help.exit_code == 0);
  CHECK_THAT(help.out, Contains("--check-config") && Contains("SERVERLEDGE_API_PORT"));
  const CommandRun version = command.run({"--version"});
  CHECK(version.exit_code == 0);
  CHECK_THAT(version.out, StartsWith("serverledge "));
}

TEST_CASE("a node that cannot have its address, or its store, says which key, and exits with 2",
          "[integration]") {
  const NodeProcess node;
  const std::string port = std::to_string(node.port());
  const Command taken("api.listen: 127.0.0.1\nstore.path: \":memory:\"\napi.port: " + port + "\n");
  const CommandRun no_port = taken.run({taken.path()});
  CHECK(no_port.exit_code == 2);
  CHECK_THAT(no_port.err, Contains("api.port") && Contains(port));

  const Command second("api.port: 0\nstore.path: " + node.store().string() + "\n");
  const CommandRun no_store = second.run({second.path()});
  CHECK(no_store.exit_code == 2);
  CHECK_THAT(no_store.err, Contains("store.path"));
}

TEST_CASE("a node says at start where it listens, what it serves and who can reach it", "[integration]") {
  const NodeProcess here;
  CHECK_THAT(here.log(), Contains("http://127.0.0.1:" + std::to_string(here.port())));
  CHECK_THAT(here.log(), Contains("python314") && Contains("only this machine is listened to"));
  const NodeProcess everywhere({{{"api.listen", "0.0.0.0"}}, {}});
  CHECK_THAT(everywhere.log(), Contains("http://127.0.0.1:" + std::to_string(everywhere.port())));
  CHECK_THAT(everywhere.log(), Contains("can be reached from outside"));
}

}  // namespace
}  // namespace serverledge::test
