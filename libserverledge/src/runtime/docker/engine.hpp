#pragma once

#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "runtime/docker/engine_address.hpp"
#include "runtime/docker/engine_client.hpp"
#include "serverledge/core/json.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/runtime/docker_runtime.hpp"

namespace serverledge {

class DockerContainer;

/// What the containers of one runtime share: the engine, and what is still to be removed from it. Outlives
/// them: each holds a share. Thread-safe.
class Engine {
 public:
  Engine(DockerOptions chosen, EngineAddress address, const NodeLock& lock, Observer& told, Clock& time);

  const DockerOptions options;
  const std::string node_id;
  const std::string host;  ///< tells nodes that see each other's locks from others
  Observer& observer;
  Clock& clock;
  EngineClient client;
  HttpClient executors;  ///< kept-alive connections to what runs in the containers

  /// Removes a container by id or name, with its volumes; one that is not there is removed already. What the
  /// engine does not do now is tried again by `remove_pending`. Whether it is gone.
  bool remove(const std::string& container, Duration patience) noexcept;
  /// From now on nothing is removed any more: the engine does not answer, and the node ends.
  void give_up() noexcept { given_up_ = true; }
  bool given_up() const noexcept { return given_up_; }
  /// Leaves it to `remove_pending`: for what the engine may be about to make.
  void remove_later(const std::string& container) noexcept;
  /// Tries what could not be removed before; gives up at the first that cannot be now.
  void remove_pending(Duration patience) noexcept;
  bool has_pending() const;

  void add(DockerContainer& container);
  void leave(DockerContainer& container) noexcept;
  /// Ends all living containers, as far as that can be done without the engine.
  void kill_all() noexcept;

  /// The labels of what this node makes, as the members of a JSON object.
  void add_labels(JsonWriter& json) const;

  /// The name of a new container of the function.
  std::string next_name(const std::string& function);

 private:
  bool try_remove(const std::string& container, Duration patience);
  std::atomic<std::uint64_t> number_ = 0;
  std::atomic<bool> given_up_ = false;
  mutable std::mutex mutex_;
  std::vector<std::string> pending_;
  std::mutex living_mutex_;
  std::set<DockerContainer*> living_;
};

}  // namespace serverledge
