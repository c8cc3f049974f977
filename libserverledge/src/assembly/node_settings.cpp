#include "assembly/node_settings.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

namespace serverledge {
namespace {

#if defined(__aarch64__)
constexpr const char* kArchitecture = "arm64";
#else
constexpr const char* kArchitecture = "amd64";
#endif

double machine_cores() { return std::max(1U, std::thread::hardware_concurrency()); }

}  // namespace

std::string environment_variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets it
  return value == nullptr ? "" : value;
}

NodeOptions node_options(const Configuration& configuration, const std::string& node_key) {
  NodeOptions options;
  options.invoker.node = node_key;
  options.invoker.area = configuration.text("registry.area");
  options.invoker.architecture =
      configuration.is_set("node.architecture") ? configuration.text("node.architecture") : kArchitecture;
  options.invoker.start_timeout = configuration.duration("container.start.timeout");
  options.invoker.default_timeout = configuration.duration("container.timeout");
  options.invoker.queue_timeout = configuration.duration("scheduler.queue.timeout");
  options.invoker.submit_capacity = static_cast<std::size_t>(configuration.integer("submit.capacity"));
  options.invoker.submit_workers = static_cast<int>(configuration.integer("submit.workers"));
  const double cores = configuration.is_set("container.pool.cpus")
                           ? configuration.number("container.pool.cpus")
                           : machine_cores();
  options.total = {configuration.integer("container.pool.memory"), to_millicores(cores)};
  options.container_starts = configuration.is_set("container.starts")
                                 ? static_cast<int>(configuration.integer("container.starts"))
                                 : 2 * static_cast<int>(machine_cores());
  options.queue_capacity = static_cast<std::size_t>(configuration.integer("scheduler.queue.capacity"));
  options.async_capacity = static_cast<std::size_t>(configuration.integer("async.capacity"));
  options.async_workers = static_cast<int>(configuration.integer("async.workers"));
  options.upkeep_interval =
      std::min<Duration>(options.upkeep_interval, configuration.duration("janitor.interval"));
  return options;
}

Result<std::string> store_path(const Configuration& configuration) {
  if (configuration.is_set("store.path")) return configuration.text("store.path");
  if (::geteuid() == 0) return std::string("/var/lib/serverledge");
  if (const std::string state = environment_variable("XDG_STATE_HOME"); state.starts_with('/'))
    return state + "/serverledge";
  if (const std::string home = environment_variable("HOME"); home.starts_with('/'))
    return home + "/.local/state/serverledge";
  return Unexpected(ErrorCode::kInvalid,
                    "store.path: set it, since neither XDG_STATE_HOME nor HOME says where to keep things");
}

}  // namespace serverledge
