#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>

#include "doorbell.hpp"
#include "serverledge/core/function.hpp"
#include "serverledge/core/invocation.hpp"
#include "serverledge/policy/offloading_policy.hpp"

namespace serverledge::python {

/// What a policy is told of an invocation: a copy, since Python may keep it.
struct Arrival {
  explicit Arrival(const Invocation& invocation);
  std::string id;
  FunctionPtr function;
  int qos_class = 0;
  Duration max_response_time{0};
  bool can_offload = true;
  bool asynchronous = false;
  std::size_t input_bytes = 0;
};

/// The node as it is at the time of a decision: a copy.
struct View {
  explicit View(const NodeView& seen) : node(seen), architecture(seen.architecture) {
    node.architecture = {};  // which is the node's own text
  }
  NodeView node;
  std::string architecture;
};

/// How an invocation ended, without what it gave.
struct Ending {
  explicit Ending(const ExecutionReport& report);
  std::string failure;  ///< its kind; empty if the function succeeded
  std::string area;
  std::string node;
  bool warm = false;
  Duration init_time{0};
  Duration queueing_time{0};
  Duration offload_latency{0};
  Duration duration{0};
  Duration response_time{0};
};

/// What the policy is to do next: decide about an arrival, learn how a call ended, or pass the time.
struct Task {
  enum class Kind { kDecide, kCompleted, kTick };
  Kind kind = Kind::kDecide;
  std::shared_ptr<Arrival> arrival;  ///< null of a tick
  std::shared_ptr<View> view;        ///< null of what has completed
  std::shared_ptr<Ending> ending;    ///< of what has completed
};

/// Between a node and the one thread on which a policy in another language runs. No request waits longer than
/// the timeout; while the thread is busy with a question that was not answered in time, none waits at all.
/// A call that waits sleeps at once if the policy was last seen on its own core, which then has two switches
/// to make and nothing to wake; only one on another core is worth looking for. To look always would drive the
/// policy to the other core, which the function may need.
/// Thread-safe.
class PolicyBridge {
 public:
  struct Counts {
    std::uint64_t asked = 0;
    std::uint64_t decided = 0;
    std::uint64_t late = 0;     ///< not answered in time, or not asked because an earlier one was late
    std::uint64_t failed = 0;   ///< answered by an exception
    std::uint64_t dropped = 0;  ///< ended calls that the policy was too slow to be told of
    Duration waited{0};         ///< by requests, for all questions
  };

  /// What the policy has no interest in is not told.
  PolicyBridge(bool wants_completions, bool wants_ticks)
      : wants_completions_(wants_completions), wants_ticks_(wants_ticks) {}
  PolicyBridge(const PolicyBridge&) = delete;
  PolicyBridge& operator=(const PolicyBridge&) = delete;

  /// How long a question may take. Before the first.
  void set_timeout(Duration timeout) { timeout_ = timeout; }

  /// The node's side, one call at a time. Throws std::runtime_error if the policy has no answer in time, or
  /// has failed.
  Decision decide(const Invocation& invocation, const NodeView& view);
  void completed(const Invocation& invocation, const ExecutionReport& report);
  void tick(const NodeView& view);

  /// The policy's side, on one thread: waits for the next task; nullopt at the end. Whoever has got a
  /// question owes `answer` or `fail` before the next.
  std::optional<Task> next();
  void answer(Decision decision);
  void fail(std::string what);
  /// Lets `next` give nothing, and every question fail.
  void end();

  /// Whether this is the thread that runs the policy.
  bool on_policy_thread() const { return policy_thread_.load() == std::this_thread::get_id(); }
  Counts counts() const;

 private:
  using Outcome = std::variant<Decision, std::string>;
  void settle(Outcome outcome);
  void remember(Task task);

  const bool wants_completions_;
  const bool wants_ticks_;
  Duration timeout_ = std::chrono::milliseconds(20);
  std::atomic<std::thread::id> policy_thread_{};
  std::atomic<int> policy_core_{-1};      // on which it took its last task
  std::atomic<bool> has_outcome_{false};  // as far as `decide` is concerned

  Doorbell asked_;            // of the policy's thread
  Doorbell answered_;         // of the call that waits
  mutable std::mutex mutex_;  // guards what follows
  std::optional<Task> question_;
  std::optional<Outcome> outcome_;
  std::deque<Task> news_;
  std::uint64_t number_ = 0;  // of the last question
  std::uint64_t taken_ = 0;   // of the one that the policy thread is at
  bool late_ = false;         // the policy thread is busy with what was given up
  bool busy_ = false;         // the policy thread is at some task
  bool ended_ = false;
  Counts counts_;
};

/// A policy of the library that asks a bridge.
class BridgedPolicy final : public OffloadingPolicy {
 public:
  explicit BridgedPolicy(std::shared_ptr<PolicyBridge> bridge) : bridge_(std::move(bridge)) {}
  Decision on_arrival(const Invocation& invocation, const NodeView& view) override {
    return bridge_->decide(invocation, view);
  }
  void on_completion(const Invocation& invocation, const ExecutionReport& report) override {
    bridge_->completed(invocation, report);
  }
  void on_tick(const NodeView& view) override { bridge_->tick(view); }

 private:
  const std::shared_ptr<PolicyBridge> bridge_;
};

}  // namespace serverledge::python
