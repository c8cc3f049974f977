#include "runtime/docker/engine.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <thread>
#include <utility>

#include "runtime/docker/docker_container.hpp"

namespace serverledge {
namespace {

constexpr auto kRemovalPause = std::chrono::milliseconds(20);
/// Executors close connections that were idle for a while, Node.js after 5 s: ours go before.
constexpr auto kExecutorIdle = std::chrono::seconds(4);

HttpClientOptions executor_options(const DockerOptions& options) {
  HttpClientOptions client;
  client.idle_per_target = 1;
  client.idle_timeout = kExecutorIdle;
  // A byte of a JSON string may take six.
  client.response_max = (6 * (options.result_bytes + options.output_bytes)) + (std::size_t{1} << 20U);
  return client;
}

/// The machine and the folder of its nodes' locks.
std::string host_of(const std::string& run_root) {
  std::string machine;
  std::ifstream("/etc/machine-id") >> machine;
  if (machine.empty()) {
    std::array<char, 256> name{};
    ::gethostname(name.data(), name.size() - 1);
    machine = name.data();
  }
  return machine + run_root;
}

}  // namespace

Engine::Engine(DockerOptions chosen, EngineAddress address, const NodeLock& lock, Observer& told, Clock& time)
    : options(std::move(chosen)),
      node_id(lock.id()),
      host(host_of(lock.run_root())),
      observer(told),
      clock(time),
      client(std::move(address.target), std::move(address.tls), time),
      executors(executor_options(options), time) {}

std::string Engine::next_name(const std::string& function) {
  return fmt::format("serverledge-{}-{}-{:x}", node_id, function, number_.fetch_add(1) ^ (entropy() << 16U));
}

bool Engine::try_remove(const std::string& container, Duration patience) {
  const TimePoint until = later(clock.now(), patience);
  while (!given_up_) {
    const Result<HttpResponse> gone = client.request({.method = "DELETE",
                                                      .path = "/containers/" + container,
                                                      .query = "force=1&v=1",
                                                      .body = {},
                                                      .patience = patience,
                                                      .cleaning = true},
                                                     until);
    // A conflict: the engine is removing it already.
    if (gone || gone.error().code == ErrorCode::kNotFound || gone.error().code == ErrorCode::kExists)
      return true;
    // Podman wants to end it first, and has not yet noticed that it has ended.
    const bool soon = gone.error().message.find("could not be stopped") != std::string::npos;
    if (!soon || clock.now() >= until) return false;
    std::this_thread::sleep_for(kRemovalPause);
  }
  return false;
}

bool Engine::remove(const std::string& container, Duration patience) noexcept {
  if (try_remove(container, patience)) return true;
  observer.log(LogLevel::kWarning, "a container could not be removed; trying again later",
               {{"container", container}});
  remove_later(container);
  return false;
}

void Engine::remove_later(const std::string& container) noexcept {
  const std::scoped_lock lock(mutex_);
  pending_.push_back(container);
}

void Engine::remove_pending(Duration patience) noexcept {
  std::vector<std::string> waiting;
  {
    const std::scoped_lock lock(mutex_);
    waiting.swap(pending_);
  }
  while (!waiting.empty() && try_remove(waiting.back(), patience)) waiting.pop_back();
  const std::scoped_lock lock(mutex_);
  std::ranges::move(waiting, std::back_inserter(pending_));
}

void Engine::add(DockerContainer& container) {
  const std::scoped_lock lock(living_mutex_);
  living_.insert(&container);
}

void Engine::leave(DockerContainer& container) noexcept {
  const std::scoped_lock lock(living_mutex_);
  living_.erase(&container);
}

void Engine::kill_all() noexcept {
  const std::scoped_lock lock(living_mutex_);
  for (DockerContainer* container : living_) container->kill();
}

void Engine::add_labels(JsonWriter& json) const {
  json.key("serverledge.node").string(node_id).key("serverledge.host").string(host);
}

bool Engine::has_pending() const {
  const std::scoped_lock lock(mutex_);
  return !pending_.empty();
}

}  // namespace serverledge
