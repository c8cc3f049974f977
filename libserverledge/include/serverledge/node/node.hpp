#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/container_runtime.hpp"
#include "serverledge/core/function_registry.hpp"
#include "serverledge/core/invocation.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/core/result_store.hpp"
#include "serverledge/core/status_report.hpp"
#include "serverledge/node/invoker.hpp"
#include "serverledge/policy/keep_alive_policy.hpp"
#include "serverledge/policy/offloading_policy.hpp"

namespace serverledge {

struct NodeOptions {
  InvokerOptions invoker;
  Resources total;           ///< memory and cores that containers may hold
  int container_starts = 4;  ///< containers that may be starting at a time
  std::size_t queue_capacity = 0;
  std::size_t async_capacity = 10000;  ///< asynchronous calls that may wait or run
  int async_workers = 64;              ///< threads that run them, at most; started on demand
  Duration upkeep_interval = std::chrono::seconds(1);
};

/// The parts of a node. Those given by reference must outlive it.
struct NodeParts {
  ContainerRuntime& runtime;
  FunctionRegistry& registry;
  ResultStore& results;
  Observer& observer;
  Clock& clock;
  std::unique_ptr<OffloadingPolicy> policy;
  std::unique_ptr<KeepAlivePolicy> keep_alive;
  PeerSource* peers = nullptr;
  PeerLink* link = nullptr;
  /// Called by upkeep about once a second, e.g. to publish results that wait for their store. May be empty.
  std::function<void()> on_upkeep;
};

/// What `/status` tells.
struct NodeStatus {
  std::vector<std::pair<std::string, int>>
      warm_containers;  ///< every known function, idle containers of each
  PoolView pool;
};

/// The same as other nodes are told it, without coordinates and load averages.
StatusReport status_report(NodeStatus status);

/// A whole node without a transport: the machine, its threads and its asynchronous calls. Thread-safe, final.
/// Started when constructed; the end is `stop`, which the destructor calls.
class Node final {
 public:
  Node(NodeOptions options, NodeParts parts);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// Runs it on the caller's thread; see Invoker::invoke. Sets `invocation.id` if it is empty.
  Result<ExecutionReport> invoke(Invocation& invocation);
  /// Accepts it for later and gives its request id; the answer is published to the result store. kNoResources
  /// when `async_capacity` is reached or the node stops.
  Result<std::string> invoke_async(Invocation invocation);
  /// See Invoker::submit. Sets `invocation.id` if it is empty.
  Result<std::shared_ptr<SubmittedCall>> submit(Invocation invocation, CompletionQueue& home,
                                                Invoker::Done done);
  /// See Invoker::prewarm; kNotFound for an unknown function.
  Result<int> prewarm(std::string_view function, int count, bool force_pull);

  /// Cancels nothing: refuses what is new, lets run what runs for `drain` at most, then kills all containers.
  /// Returns when no call, thread or container is left. Idempotent; a second call with a shorter time
  /// shortens the first.
  void stop(Duration drain);
  bool stopping() const;

  NodeStatus status() const;
  FunctionRegistry& registry();
  ResultStore& results();
  ContainerRuntime& runtime();
  Invoker& invoker();
  const NodeOptions& options() const;
  Clock& clock();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A new request id: "<function>-<tag><32 hex digits>" from the kernel's randomness, so that ids never
/// collide. The tag of an asynchronous call tells who accepted it (`request_tag`).
std::string new_request_id(std::string_view function, std::string_view tag = {});

}  // namespace serverledge
