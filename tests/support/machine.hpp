#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "serverledge/node/scheduler.hpp"

namespace serverledge::testing {

/// A mailbox that counts its posts.
class CountingMailbox final : public Mailbox {
 public:
  void post() override { ++posts; }
  int posts = 0;
};

inline TimePoint at(double seconds) { return TimePoint{} + from_seconds(1000.0 + seconds); }

inline FunctionPtr make_function(std::string name, std::int64_t memory_mb = 128, double cpu = 0,
                                 int concurrency = 1, std::uint64_t revision = 1) {
  Function function;
  function.name = std::move(name);
  function.runtime = "python314";
  function.memory_mb = memory_mb;
  function.cpu_demand = cpu;
  function.max_concurrency = concurrency;
  function.handler = "f.handler";
  function.revision = revision;
  return std::make_shared<const Function>(std::move(function));
}

/// The lease of a call that was placed at once.
inline Lease lease_of(Placement placement) {
  REQUIRE(std::holds_alternative<Lease>(placement));
  return std::get<Lease>(std::move(placement));
}

/// A container that is only there.
class IdleContainerDouble final : public Container {
 public:
  Reply invoke(const Call& /*call*/) override { return {}; }
  void destroy() noexcept override {}
};

/// Scheduler and pool without threads: what a rim would do, a test does by hand.
class Machine : private LeaseHome {
 public:
  explicit Machine(Resources total, std::size_t queue_capacity = 0, int max_starts = 100, double ttl = 600)
      : keep_alive_(from_seconds(ttl)),
        scheduler_(make_scheduler(
            {.queue_capacity = queue_capacity, .queue_timeout = std::chrono::seconds(30)},
            make_container_pool({.total = total, .max_starts = max_starts}, keep_alive_, *this))) {}

  Scheduler& operator*() { return *scheduler_; }
  Scheduler* operator->() { return scheduler_.get(); }

  void announce(const FunctionPtr& function) {
    scheduler_->function_changed(function->name, function, now, effects);
  }

  Placement arrive(const FunctionPtr& function, const std::shared_ptr<Mailbox>& mailbox, int qos_class = 0,
                   TimePoint start_deadline = TimePoint::max(), bool asynchronous = false) {
    Arrival arrival;
    arrival.function = function->name;
    arrival.qos_class = qos_class;
    arrival.start_deadline = start_deadline;
    arrival.asynchronous = asynchronous;
    arrival.mailbox = mailbox;
    return scheduler_->arrive(arrival, Decision(RunHere{}, WaitHere{}), 0, now, effects);
  }
  Placement arrive(const FunctionPtr& function) {
    return arrive(function, std::make_shared<CountingMailbox>());
  }

  /// Starts a cold lease as a rim does: victims first.
  void start(Lease& lease) {
    for (const Discarded& victim : lease.take_victims()) scheduler_->destroyed(victim.id, now, effects);
    scheduler_->started(lease, std::make_shared<IdleContainerDouble>(), from_seconds(0.1), now, effects);
  }
  void finish(Lease&& lease, bool doomed = false) {
    scheduler_->finish(std::move(lease), {.executed = true, .doomed = doomed}, now, effects);
  }
  /// Reports everything that was discarded as gone.
  void sweep() {
    while (!effects.discarded.empty()) {
      const std::vector<Discarded> discarded = std::exchange(effects.discarded, {});
      for (const Discarded& given_up : discarded) scheduler_->destroyed(given_up.id, now, effects);
    }
  }
  /// A warm, idle container of the function.
  void warm_up(const FunctionPtr& function) {
    Placement placement = arrive(function);
    auto& lease = std::get<Lease>(placement);
    start(lease);
    finish(std::move(lease));
  }
  PoolView view(const std::string& function = {}) const { return scheduler_->view(function); }

  TimePoint now = at(0);
  Effects effects;

 private:
  void lease_lost(ContainerId container, int slot, std::vector<Discarded> victims) noexcept override {
    for (Discarded& victim : victims) effects.discarded.push_back(std::move(victim));
    scheduler_->lost(container, slot, now, effects);
  }
  TtlKeepAlive keep_alive_;
  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace serverledge::testing
