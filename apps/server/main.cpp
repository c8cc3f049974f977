#include "serverledge/assembly/open_node.hpp"
#include "service.hpp"

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

}  // namespace

int main(int argc, char** argv) {
  using namespace serverledge;
  return run_service(
      {.name = "serverledge",
       .description = "Runs a node: functions over HTTP, in sandboxes of this machine.",
       .footer = kFooter,
       .runs_functions = true,
       .check = check_configuration,
       .open = [](const Configuration& from) { return ServiceOf<OpenedNode>::of(open_node(from)); }},
      argc, argv);
}
