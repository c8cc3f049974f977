#include "serverledge/assembly/open_balancer.hpp"
#include "service.hpp"

namespace {

constexpr const char* kFooter =
    R"(Needs etcd.address, and takes the nodes that are registered there in registry.area. Without a file,
serverledge-conf.yaml (.yml, .toml) is looked for in /etc/serverledge, the home folder and the current one. Any key
can be set from the environment, e.g. SERVERLEDGE_ETCD_ADDRESS=127.0.0.1:2379.

SIGTERM and SIGINT stop it after the calls that run, within api.drain seconds; a second one stops it at once.

Exit codes:
  0  stopped, or the configuration is fine
  1  wrong usage, or an error in the configuration
  2  the load balancer could not be started
  3  stopped at once: calls were cut off

Examples:
  serverledge-lb /etc/serverledge/serverledge-lb.yaml
  SERVERLEDGE_ETCD_ADDRESS=127.0.0.1:2379 SERVERLEDGE_API_PORT=8080 serverledge-lb)";

}  // namespace

int main(int argc, char** argv) {
  using namespace serverledge;
  return run_service(
      {.name = "serverledge-lb",
       .description = "A load balancer: hands calls to the nodes of its area.",
       .footer = kFooter,
       .runs_functions = false,
       .check = check_balancer_configuration,
       .open = [](const Configuration& from) { return ServiceOf<OpenedBalancer>::of(open_balancer(from)); }},
      argc, argv);
}
