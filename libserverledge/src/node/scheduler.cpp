#include "serverledge/node/scheduler.hpp"

#include <algorithm>
#include <compare>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>

#include "node/function_estimates.hpp"

namespace serverledge {
namespace {

/// Where a waiting call stands: class, then synchronous first, then deadline, then arrival.
struct Rank {
  int negated_class = 0;
  bool asynchronous = false;
  TimePoint deadline{};
  TicketId ticket = 0;
  auto operator<=>(const Rank&) const = default;
};

/// Why a call waits; only a wait for resources takes a place in the queue.
enum class WaitsFor { kResources, kStart };

struct Waiter {
  Arrival arrival;
  std::string function;
  Rank rank;
  TimePoint deadline{};
  WaitsFor waits_for = WaitsFor::kResources;
  Resources promised;  // what its start will need, if it waits for one
  bool settled = false;
  Lease lease;    // set when placed
  Error refusal;  // set when settled without a lease
};

class LocalScheduler final : public Scheduler {
 public:
  LocalScheduler(const SchedulerOptions& options, std::unique_ptr<ContainerPool> pool)
      : options_(options), pool_(std::move(pool)) {}
  LocalScheduler(const LocalScheduler&) = delete;
  LocalScheduler& operator=(const LocalScheduler&) = delete;
  ~LocalScheduler() override {
    // Leases that nobody came for end with their pool.
    for (auto& [id, waiter] : waiters_) waiter.lease.surrender();
  }

  Placement arrive(const Arrival& arrival, const Decision& decision, std::size_t first, TimePoint now,
                   Effects& /*effects*/) override {
    if (closed_) return refused(ErrorCode::kCancelled, "the node is stopping", "closed");
    if (arrival.start_deadline <= now) {
      return refused(ErrorCode::kNoResources, "QoSMaxRespT has passed before the call could start",
                     "deadline");
    }
    const auto current = functions_.find(arrival.function);
    if (current == functions_.end()) return refused(ErrorCode::kNotFound, "Function unknown", "unknown");
    if (first == 0 && !arrival.again) estimates_.arrived(arrival.function, arrival.input_bytes, now);

    Rejected last{{ErrorCode::kNoResources, "no choice of the policy is possible now", "policy"}};
    for (std::size_t index = first; index < decision.size(); ++index) {
      const Choice& choice = decision[index];
      if (const auto* offload = std::get_if<OffloadTo>(&choice)) return Offload{offload->peer, index + 1};
      if (const auto* refuse = std::get_if<Refuse>(&choice)) {
        return refused(ErrorCode::kNoResources, refuse->reason, "policy");
      }
      Placement placement = std::holds_alternative<RunHere>(choice) ? run_here(arrival, current->second, now)
                                                                    : wait_here(arrival, now);
      if (auto* rejected = std::get_if<Rejected>(&placement)) {
        last = std::move(*rejected);
      } else {
        return placement;
      }
    }
    return last;
  }

  Left leave(TicketId ticket, TimePoint now, Effects& effects) override {
    const auto it = waiters_.find(ticket);
    if (it == waiters_.end()) return std::monostate{};
    if (!it->second.settled) unqueue(it->second);
    Waiter waiter = std::move(waiters_.extract(it).mapped());
    if (!waiter.settled) return std::monostate{};
    if (!waiter.lease) return Rejected{std::move(waiter.refusal)};
    if (waiter.arrival.start_deadline <= now) {
      finish(std::move(waiter.lease), {.executed = false}, now, effects);
      return refused(ErrorCode::kNoResources, "QoSMaxRespT has passed before the call could start",
                     "deadline");
    }
    return std::move(waiter.lease);
  }

  void started(Lease& lease, std::shared_ptr<Container> container, Duration init_time, TimePoint now,
               Effects& effects) override {
    pool_->started(lease, std::move(container), init_time);
    estimates_.started(lease.function()->name, init_time);
    dispatch(now, effects);
  }

  void finish(Lease&& lease, const Settlement& settlement, TimePoint now, Effects& effects) override {
    if (settlement.executed) {
      estimates_.completed(lease.function()->name, settlement.duration, lease.cold(),
                           settlement.output_bytes);
    }
    take(lease.take_victims(), effects);
    take(pool_->release(std::move(lease), settlement.doomed, now), effects);
    dispatch(now, effects);
  }

  void lost(ContainerId container, int slot, TimePoint now, Effects& effects) override {
    take(pool_->lost(container, slot, now), effects);
    dispatch(now, effects);
  }

  void destroyed(ContainerId container, TimePoint now, Effects& effects) override {
    pool_->destroyed(container);
    dispatch(now, effects);
  }

  void function_changed(std::string_view name, const FunctionPtr& current, TimePoint now,
                        Effects& effects) override {
    take(pool_->retire(name, current, now), effects);
    if (current) {
      functions_.insert_or_assign(std::string(name), current);
    } else {
      if (const auto it = functions_.find(name); it != functions_.end()) functions_.erase(it);
      estimates_.forget(name);
      refuse_waiters(name, {ErrorCode::kNotFound, "Function unknown", "unknown"}, effects);
    }
    dispatch(now, effects);
  }

  Placement prewarm(std::string_view function, TimePoint now, Effects& /*effects*/) override {
    if (closed_) return refused(ErrorCode::kCancelled, "the node is stopping", "closed");
    const auto current = functions_.find(function);
    if (current == functions_.end()) return refused(ErrorCode::kNotFound, "Function unknown", "unknown");
    Acquired acquired = pool_->acquire_new(current->second, now);
    if (acquired.kind == Acquired::Kind::kLease) return std::move(acquired.lease);
    return refusal_of(acquired.kind);
  }

  std::optional<ContainerId> reserve_stock(const StockPlan& plan) override {
    if (!uses_runtime(plan.runtime) || pool_->stock(plan.runtime) >= plan.target) return std::nullopt;
    return pool_->reserve_stock(plan, promised_);
  }

  bool stock_made(ContainerId id, bool made, TimePoint now, Effects& effects) override {
    bool wanted = true;
    if (made) {
      wanted = pool_->stock_ready(id);
    } else {
      pool_->stock_failed(id);
    }
    dispatch(now, effects);
    return wanted;
  }

  void tick(TimePoint now, Effects& effects) override {
    std::vector<TicketId> late;
    for (const auto& [id, waiter] : waiters_) {
      if (!waiter.settled && waiter.deadline <= now) late.push_back(id);
    }
    for (const TicketId id : late) {
      Waiter& waiter = waiters_.at(id);
      const bool qos = waiter.arrival.start_deadline <= now;
      settle(waiter,
             {ErrorCode::kNoResources,
              qos ? "QoSMaxRespT has passed before the call could start"
                  : "no resources within scheduler.queue.timeout",
              qos ? "deadline" : "queue_timeout"},
             effects);
    }
    take(pool_->expire(now), effects);
    dispatch(now, effects);
  }

  void close(Effects& effects) override {
    closed_ = true;
    for (auto& [id, waiter] : waiters_) {
      if (!waiter.settled) settle(waiter, {ErrorCode::kCancelled, "the node is stopping", "closed"}, effects);
    }
  }

  void retire_all(Effects& effects) override { take(pool_->retire_all(), effects); }

  ContainerPool& pool() override { return *pool_; }
  const ContainerPool& pool() const override { return *pool_; }

  PoolView view(std::string_view function) const override {
    PoolView view = pool_->view(function);
    view.queued = queued_;
    view.queue_capacity = options_.queue_capacity;
    return view;
  }

  FunctionEstimate estimate(std::string_view function) const override { return estimates_.of(function); }

  std::size_t waiting() const override {
    std::size_t count = 0;
    for (const auto& [name, queue] : queues_) count += queue.size();
    return count;
  }

 private:
  using Queue = std::set<Rank>;

  bool uses_runtime(std::string_view runtime) const {
    return std::ranges::any_of(functions_,
                               [&](const auto& entry) { return entry.second->runtime == runtime; });
  }

  static Rejected refused(ErrorCode code, std::string message, std::string detail) {
    return {{code, std::move(message), std::move(detail)}};
  }

  static Rejected refusal_of(Acquired::Kind kind) {
    switch (kind) {
      case Acquired::Kind::kNoCores:
        return refused(ErrorCode::kNoResources, "all cores are busy", "cores");
      case Acquired::Kind::kStartLimit:
      case Acquired::Kind::kJoin:
        return refused(ErrorCode::kNoResources, "too many containers are starting", "starts");
      case Acquired::Kind::kNoMemory:
      case Acquired::Kind::kLease:
        break;
    }
    return refused(ErrorCode::kNoResources, "not enough memory", "memory");
  }

  Rank rank_of(const Arrival& arrival, TicketId ticket) const {
    return {-arrival.qos_class, arrival.asynchronous, arrival.start_deadline, ticket};
  }

  Placement run_here(const Arrival& arrival, const FunctionPtr& function, TimePoint now) {
    // Nobody is overtaken: whoever waits was offered everything that is free when it became so.
    Acquired acquired = pool_->acquire(function, promised_, now);
    switch (acquired.kind) {
      case Acquired::Kind::kLease:
        return std::move(acquired.lease);
      case Acquired::Kind::kJoin:
        return wait_behind_start(arrival, function, now);
      case Acquired::Kind::kStartLimit:
        return enqueue(arrival, WaitsFor::kStart, {function->memory_mb, to_millicores(function->cpu_demand)},
                       now);
      case Acquired::Kind::kNoMemory:
      case Acquired::Kind::kNoCores:
        break;
    }
    return refusal_of(acquired.kind);
  }

  /// A ticket on a container of the function that is being started, if one has a slot that nobody waits for.
  Placement wait_behind_start(const Arrival& arrival, const FunctionPtr& function, TimePoint now) {
    const auto queue = queues_.find(arrival.function);
    const std::size_t ahead = queue == queues_.end() ? 0 : queue->second.size();
    if (function->max_concurrency > 1 && pool_->starting_slots(function->name) > static_cast<int>(ahead)) {
      return enqueue(arrival, WaitsFor::kStart, {}, now);
    }
    return refused(ErrorCode::kNoResources, "other calls of the function wait already", "queue");
  }

  Placement wait_here(const Arrival& arrival, TimePoint now) {
    if (!arrival.asynchronous && queued_ >= options_.queue_capacity) {
      return refused(ErrorCode::kNoResources,
                     options_.queue_capacity == 0 ? "no resources are free, and there is no queue"
                                                  : "no resources are free, and the queue is full",
                     "queue_full");
    }
    return enqueue(arrival, WaitsFor::kResources, {}, now);
  }

  Placement enqueue(const Arrival& arrival, WaitsFor waits_for, Resources promised, TimePoint now) {
    const TicketId id = ++last_ticket_;
    Waiter& waiter = waiters_[id];
    waiter.arrival = arrival;
    waiter.function = arrival.function;
    waiter.rank = rank_of(arrival, id);
    waiter.deadline = std::min(arrival.start_deadline, later(now, options_.queue_timeout));
    waiter.waits_for = waits_for;
    waiter.promised = promised;
    promised_ += promised;
    if (counts(waiter)) ++queued_;
    queues_[waiter.function].insert(waiter.rank);
    return Ticket{id, waiter.deadline, now};
  }

  static bool counts(const Waiter& waiter) {
    return waiter.waits_for == WaitsFor::kResources && !waiter.arrival.asynchronous;
  }

  void unqueue(Waiter& waiter) {
    promised_ -= waiter.promised;
    waiter.promised = {};
    if (counts(waiter)) --queued_;
    const auto queue = queues_.find(waiter.function);
    queue->second.erase(waiter.rank);
    if (queue->second.empty()) queues_.erase(queue);
  }

  /// Settles a waiter without a lease.
  void settle(Waiter& waiter, Error refusal, Effects& effects) {
    unqueue(waiter);
    waiter.settled = true;
    waiter.refusal = std::move(refusal);
    effects.posts.push_back(waiter.arrival.mailbox);
  }

  void refuse_waiters(std::string_view function, const Error& refusal, Effects& effects) {
    const auto queue = queues_.find(function);
    if (queue == queues_.end()) return;
    const Queue waiting = queue->second;
    for (const Rank& rank : waiting) settle(waiters_.at(rank.ticket), refusal, effects);
  }

  /// Places every waiter that fits now: functions in the order of their first waiters; one whose first does
  /// not fit is skipped.
  void dispatch(TimePoint now, Effects& effects) {
    if (queues_.empty() || closed_) return;
    std::set<std::pair<Rank, std::string>> heads;
    for (const auto& [name, queue] : queues_) heads.emplace(*queue.begin(), name);
    while (!heads.empty()) {
      const auto [rank, name] = std::move(heads.extract(heads.begin()).value());
      if (!place_waiter(waiters_.at(rank.ticket), now, effects)) continue;
      if (const auto queue = queues_.find(name); queue != queues_.end())
        heads.emplace(*queue->second.begin(), name);
    }
  }

  bool place_waiter(Waiter& waiter, TimePoint now, Effects& effects) {
    if (waiter.deadline <= now) {
      settle(waiter,
             {ErrorCode::kNoResources, "the wait for resources took too long",
              waiter.arrival.start_deadline <= now ? "deadline" : "queue_timeout"},
             effects);
      return true;
    }
    // What it was promised itself must not stand in its own way.
    Acquired acquired =
        pool_->acquire(functions_.find(waiter.function)->second, promised_ - waiter.promised, now);
    if (acquired.kind != Acquired::Kind::kLease) return false;
    unqueue(waiter);
    waiter.settled = true;
    waiter.lease = std::move(acquired.lease);
    effects.posts.push_back(waiter.arrival.mailbox);
    return true;
  }

  static void take(std::vector<Discarded> discarded, Effects& effects) {
    std::ranges::move(discarded, std::back_inserter(effects.discarded));
  }

  const SchedulerOptions options_;
  std::unique_ptr<ContainerPool> pool_;
  FunctionEstimates estimates_;
  std::map<std::string, FunctionPtr, std::less<>> functions_;
  std::map<std::string, Queue, std::less<>> queues_;  // none is empty
  std::unordered_map<TicketId, Waiter> waiters_;      // waiting, or settled and not yet left
  TicketId last_ticket_ = 0;
  std::size_t queued_ = 0;
  Resources promised_;
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<Scheduler> make_scheduler(const SchedulerOptions& options,
                                          std::unique_ptr<ContainerPool> pool) {
  return std::make_unique<LocalScheduler>(options, std::move(pool));
}

}  // namespace serverledge
