#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/container_runtime.hpp"
#include "serverledge/core/invocation.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/core/peer_link.hpp"
#include "serverledge/core/peer_snapshot.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/node/completion_queue.hpp"
#include "serverledge/node/scheduler.hpp"
#include "serverledge/node/submitted_call.hpp"
#include "serverledge/policy/offloading_policy.hpp"

namespace serverledge {

class CallCrew;

/// Who a node is and what its calls may take.
struct InvokerOptions {
  std::string node;  ///< node key, for reports
  std::string area;
  std::string architecture = "amd64";
  Duration start_timeout = std::chrono::seconds(30);    ///< of a container
  Duration default_timeout = std::chrono::seconds(60);  ///< of a call whose function names none
  Duration queue_timeout = std::chrono::seconds(30);    ///< longest wait of an offloaded call at its target
  std::size_t submit_capacity = 10000;                  ///< submitted calls that may be unfinished
  int submit_workers = 64;  ///< threads that run submitted calls, at most; started on demand
};

/// Runs invocations: asks the policy and the scheduler under short locks and does what they say outside of
/// them, on the caller's thread. Thread-safe. The parts given by reference must outlive it.
class Invoker final : private LeaseHome {
 public:
  struct Parts {
    ContainerRuntime& runtime;
    OffloadingPolicy& policy;
    Observer& observer;
    Clock& clock;
    PeerSource* peers = nullptr;  ///< null: no other node is known
    PeerLink* link = nullptr;     ///< null: nothing is ever offloaded
  };
  /// `make_scheduler` is called once with the home of the leases.
  Invoker(InvokerOptions options, const Parts& parts,
          const std::function<std::unique_ptr<Scheduler>(LeaseHome&)>& make_scheduler);
  ~Invoker() override;
  Invoker(const Invoker&) = delete;
  Invoker& operator=(const Invoker&) = delete;

  /// Runs the invocation and waits for its report, which may say that the function failed. Errors:
  /// kNoResources (with the reason in `detail`), kNotFound, kCancelled (the caller hung up, or the node
  /// stops), kUnknownOutcome. `invocation.function` is only a hint: the record that is current when it is
  /// placed counts.
  Result<ExecutionReport> invoke(Invocation& invocation);

  /// The same in pieces, for callers that must not block while they wait in the queue: `begin` places, and
  /// either gives the report (having run it) or a ticket, whose mailbox is posted when `resume` should be
  /// called.
  using Progress = std::variant<Result<ExecutionReport>, Ticket>;
  Progress begin(Invocation& invocation, const std::shared_ptr<Mailbox>& mailbox);
  Progress resume(Invocation& invocation, const Ticket& ticket, const std::shared_ptr<Mailbox>& mailbox);

  /// Runs the invocation on a thread of the invoker's own, for hosts with an event loop: `done` is called
  /// once, by `home.drain()`, with what `invoke` would have given, or kCancelled if it was cancelled. One
  /// that waits holds no thread, so that its wait may end up to a second after its deadline (it never runs
  /// late); `invocation.asynchronous` lets it wait beyond the capacity of the queue, after all others. Its
  /// `caller_gone` is not asked: cancel the call. Errors, and then `done` is never called: kNoResources when
  /// `submit_capacity` calls are unfinished, kCancelled when the node stops.
  using Done = std::function<void(Result<ExecutionReport>)>;
  Result<std::shared_ptr<SubmittedCall>> submit(Invocation invocation, CompletionQueue& home, Done done);

  /// Starts up to `count` containers beforehand, one after the other; how many were started. 0: only prepares
  /// (pulls the image, unpacks the code).
  Result<int> prewarm(const FunctionPtr& function, int count, bool force_pull);

  /// Tells the scheduler of a function's current record (null: deleted).
  void function_changed(const std::string& name, const FunctionPtr& current);

  /// Expiry, destroying what nobody waits for, stock. Called by upkeep about once a second, or when
  /// `on_upkeep` fires.
  void tick();
  /// Called (from any thread) when there is something for `tick` to do soon. Set before the first invocation.
  void on_upkeep(std::function<void()> wake) { wake_upkeep_ = std::move(wake); }

  /// Refuses new calls and those that wait.
  void close();
  /// Waits until nothing runs, or the deadline; whether nothing runs.
  bool drain(TimePoint deadline);
  /// Kills all containers, so that blocked calls return, and waits until the last lease is back.
  void kill();

  PoolView view(std::string_view function) const;
  std::vector<std::pair<std::string, int>> warm_containers() const;
  /// Calls inside, waiting or executed, now.
  int calls() const { return inside_.load(std::memory_order_relaxed); }
  /// Calls to the policy that raised.
  std::uint64_t policy_failures() const { return policy_failures_.load(std::memory_order_relaxed); }

 private:
  class Inside;
  void lease_lost(ContainerId container, int slot, std::vector<Discarded> victims) noexcept override;
  Decision decide(const Invocation& invocation, TimePoint now);
  NodeView make_view(const Invocation& invocation, TimePoint now);
  Placement place(const Invocation& invocation, const Decision& decision, std::size_t first, bool again,
                  const std::shared_ptr<Mailbox>& mailbox);
  Progress follow(Invocation& invocation, const std::shared_ptr<Mailbox>& mailbox, const Decision& decision,
                  Duration waited, Placement placement);
  Result<ExecutionReport> execute(Invocation& invocation, Lease lease, Duration waited);
  Result<ExecutionReport> call(Invocation& invocation, Lease lease, ExecutionReport report);
  Result<ExecutionReport> forward(Invocation& invocation, const Peer& peer);
  Result<void> start(Lease& lease, Duration& init_time, std::string_view request);
  void finish(Lease&& lease, const Settlement& settlement, std::string_view request = {});
  Result<ExecutionReport> report(const Invocation& invocation, Result<ExecutionReport> outcome);
  void carry_out(Effects& effects);
  void destroy_all(std::vector<Discarded> discarded, std::string_view request = {});
  void defer(std::vector<Discarded> discarded);
  bool discard_if_dead(Lease& lease);
  void tick_policy();
  void refill_stock();
  void policy_failed(const char* what, std::string_view request = {});

  const InvokerOptions options_;
  ContainerRuntime& runtime_;
  OffloadingPolicy& policy_;
  Observer& observer_;
  Clock& clock_;
  PeerSource* const peers_;
  PeerLink* const link_;
  const std::shared_ptr<const PeerSnapshot> no_peers_;
  const std::vector<ContainerRuntime::Served> served_;

  mutable std::mutex mutex_;  // guards scheduler_
  std::unique_ptr<Scheduler> scheduler_;
  std::mutex policy_mutex_;
  std::mutex garbage_mutex_;
  std::vector<Discarded> garbage_;
  std::function<void()> wake_upkeep_;
  std::mutex idle_mutex_;
  std::condition_variable idle_;
  std::atomic<int> inside_{0};
  std::atomic<bool> draining_{false};
  std::atomic<std::uint64_t> policy_failures_{0};
  TimePoint policy_logged_{};  // guarded by policy_mutex_, as is the next
  TimePoint policy_ticked_{};
  std::unique_ptr<CallCrew> submitted_;
};

}  // namespace serverledge
