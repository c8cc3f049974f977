#include "policy_bridge.hpp"

#include <sched.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace serverledge::python {
namespace {

/// Ended calls that wait to be told; more are dropped.
constexpr std::size_t kMostNews = 1000;

/// For so long a call looks for the answer of a policy on another core: waking that and being woken by it
/// takes about as long each.
constexpr Duration kLook = std::chrono::microseconds(60);

void look_for(const std::atomic<bool>& flag, TimePoint until) {
  while (!flag.load(std::memory_order_acquire) && system_clock().now() < until) {
  }
}

}  // namespace

Arrival::Arrival(const Invocation& invocation)
    : id(invocation.id),
      function(invocation.function),
      qos_class(invocation.qos_class),
      max_response_time(invocation.max_response_time),
      can_offload(invocation.can_offload),
      asynchronous(invocation.asynchronous),
      input_bytes(invocation.params_size) {}

Ending::Ending(const ExecutionReport& report)
    : failure(report.failure ? to_string(report.failure->kind) : ""),
      area(report.area),
      node(report.node),
      warm(report.warm),
      init_time(report.init_time),
      queueing_time(report.queueing_time),
      offload_latency(report.offload_latency),
      duration(report.duration),
      response_time(report.response_time) {}

Decision PolicyBridge::decide(const Invocation& invocation, const NodeView& view) {
  Task question{Task::Kind::kDecide, std::make_shared<Arrival>(invocation), std::make_shared<View>(view), {}};
  const TimePoint begin = system_clock().now();
  std::unique_lock lock(mutex_);
  if (ended_) throw std::runtime_error("the policy has ended");
  ++counts_.asked;
  if (late_) {
    ++counts_.late;
    throw std::runtime_error("the policy is still busy with what has taken too long");
  }
  question_ = std::move(question);
  outcome_.reset();
  ++number_;
  has_outcome_.store(false);
  lock.unlock();
  asked_.ring();
  // On this core it runs as soon as this thread sleeps, or has run already.
  if (policy_core_.load(std::memory_order_relaxed) != ::sched_getcpu())
    look_for(has_outcome_, later(begin, std::min(timeout_, kLook)));
  while (!has_outcome_.load(std::memory_order_acquire) && answered_.wait(later(begin, timeout_))) {
  }
  lock.lock();
  counts_.waited += system_clock().now() - begin;
  if (!outcome_) {
    ++counts_.late;
    question_.reset();
    late_ = busy_;
    throw std::runtime_error("the policy has not decided within policy.timeout");
  }
  Outcome outcome = *std::exchange(outcome_, {});
  if (auto* decision = std::get_if<Decision>(&outcome)) {
    ++counts_.decided;
    return std::move(*decision);
  }
  ++counts_.failed;
  throw std::runtime_error(std::get<std::string>(outcome));
}

void PolicyBridge::completed(const Invocation& invocation, const ExecutionReport& report) {
  if (!wants_completions_) return;
  remember(
      {Task::Kind::kCompleted, std::make_shared<Arrival>(invocation), {}, std::make_shared<Ending>(report)});
}

void PolicyBridge::tick(const NodeView& view) {
  if (wants_ticks_) remember({Task::Kind::kTick, {}, std::make_shared<View>(view), {}});
}

void PolicyBridge::remember(Task task) {
  {
    const std::scoped_lock lock(mutex_);
    if (ended_) return;
    if (news_.size() >= kMostNews) {
      ++counts_.dropped;
      return;
    }
    news_.push_back(std::move(task));
  }
  asked_.ring();
}

std::optional<Task> PolicyBridge::next() {
  policy_thread_.store(std::this_thread::get_id());
  std::unique_lock lock(mutex_);
  busy_ = late_ = false;
  while (!question_ && news_.empty() && !ended_) {
    lock.unlock();
    asked_.wait();
    lock.lock();
  }
  policy_core_.store(::sched_getcpu(), std::memory_order_relaxed);
  if (ended_) return std::nullopt;
  busy_ = true;
  if (question_) {
    taken_ = number_;
    return std::exchange(question_, {});
  }
  Task news = std::move(news_.front());
  news_.pop_front();
  taken_ = 0;
  return news;
}

void PolicyBridge::answer(Decision decision) { settle(std::move(decision)); }
void PolicyBridge::fail(std::string what) {
  {
    const std::scoped_lock lock(mutex_);
    if (taken_ == 0) ++counts_.failed;  // at news; a failed decision is counted by who asked
  }
  settle(std::move(what));
}

void PolicyBridge::settle(Outcome outcome) {
  {
    const std::scoped_lock lock(mutex_);
    // Too late, of another question, or of news: nobody waits for it.
    if (taken_ == 0 || taken_ != number_ || late_) return;
    taken_ = 0;
    outcome_ = std::move(outcome);
    has_outcome_.store(true, std::memory_order_release);
  }
  answered_.ring();
}

void PolicyBridge::end() {
  const std::scoped_lock lock(mutex_);
  ended_ = true;
  has_outcome_.store(true);
  asked_.ring();
  answered_.ring();
}

PolicyBridge::Counts PolicyBridge::counts() const {
  const std::scoped_lock lock(mutex_);
  return counts_;
}

}  // namespace serverledge::python
