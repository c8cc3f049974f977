#include "serverledge/node/invoker.hpp"

#include <algorithm>
#include <string>
#include <thread>

#include "node/call_crew.hpp"
#include "serverledge/policy/local_only_policy.hpp"

namespace serverledge {
namespace {

/// What a wait ends with when nobody settled the ticket.
Error unsettled(const Invocation& invocation, TimePoint now) {
  if (invocation.caller_gone.stop_requested()) {
    return {ErrorCode::kCancelled, "the caller hung up while waiting", "caller_gone"};
  }
  const bool qos = invocation.start_deadline() <= now;
  return {ErrorCode::kNoResources,
          qos ? "QoSMaxRespT has passed before the call could start"
              : "no resources within scheduler.queue.timeout",
          qos ? "deadline" : "queue_timeout"};
}

Failure start_failure(const Error& error) { return {FailureKind::kStart, error.message, error.detail}; }

/// Whether a forward that gave this error provably did not start at the peer.
bool did_not_start(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kNoResources ||
         error.code == ErrorCode::kNotFound;
}

}  // namespace

Invoker::Invoker(InvokerOptions options, const Parts& parts,
                 const std::function<std::unique_ptr<Scheduler>(LeaseHome&)>& make_scheduler)
    : options_(std::move(options)),
      runtime_(parts.runtime),
      policy_(parts.policy),
      observer_(parts.observer),
      clock_(parts.clock),
      peers_(parts.peers),
      link_(parts.link),
      no_peers_(std::make_shared<PeerSnapshot>()),
      served_(parts.runtime.runtimes()),
      scheduler_(make_scheduler(*this)),
      submitted_(std::make_unique<CallCrew>(*this, observer_,
                                            CallCrew::Limits{.capacity = options_.submit_capacity,
                                                             .workers = options_.submit_workers,
                                                             .key = "submit.capacity"})) {}

Invoker::~Invoker() { kill(); }

/// Counts a call while any of its code is inside, so that `drain` knows when none is.
class Invoker::Inside {
 public:
  explicit Inside(Invoker& invoker) : invoker_(invoker) { invoker_.inside_.fetch_add(1); }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside() {
    if (invoker_.inside_.fetch_sub(1) > 1 || !invoker_.draining_.load()) return;
    const std::scoped_lock lock(invoker_.idle_mutex_);
    invoker_.idle_.notify_all();
  }

 private:
  Invoker& invoker_;
};

Result<ExecutionReport> Invoker::invoke(Invocation& invocation) {
  const Inside inside(*this);
  const std::shared_ptr<ThreadMailbox> mailbox = make_thread_mailbox();
  Progress progress = begin(invocation, mailbox);
  while (const auto* ticket = std::get_if<Ticket>(&progress)) {
    const Ticket held = *ticket;
    mailbox->wait(held.deadline, invocation.caller_gone);
    progress = resume(invocation, held, mailbox);
  }
  return std::get<Result<ExecutionReport>>(std::move(progress));
}

Result<std::shared_ptr<SubmittedCall>> Invoker::submit(Invocation invocation, CompletionQueue& home,
                                                       Done done) {
  if (Result<void> admitted = submitted_->admit(invocation); !admitted)
    return Unexpected(std::move(admitted).error());
  // A std::function must be copyable, and a report need not be copied.
  auto deliver = [done = std::move(done), home = home.poster()](Result<ExecutionReport> outcome) {
    home.post([done, outcome = std::make_shared<Result<ExecutionReport>>(std::move(outcome))] {
      done(std::move(*outcome));
    });
  };
  return submitted_->start(std::move(invocation), std::move(deliver));
}

Invoker::Progress Invoker::begin(Invocation& invocation, const std::shared_ptr<Mailbox>& mailbox) {
  const Inside inside(*this);
  observer_.began(invocation);
  const TimePoint begun = clock_.now();
  const Decision decision = decide(invocation, begun);
  observer_.passed(invocation, {.stage = Stage::kDecide, .begin = begun, .end = clock_.now()});
  return follow(invocation, mailbox, decision, Duration::zero(),
                place(invocation, decision, 0, false, mailbox));
}

Invoker::Progress Invoker::resume(Invocation& invocation, const Ticket& ticket,
                                  const std::shared_ptr<Mailbox>& mailbox) {
  const Inside inside(*this);
  Effects effects;
  Left left;
  const TimePoint now = clock_.now();
  {
    const std::scoped_lock lock(mutex_);
    left = scheduler_->leave(ticket.id, now, effects);
  }
  carry_out(effects);
  StagePassed wait{.stage = Stage::kWait, .begin = ticket.since, .end = now};
  if (auto* lease = std::get_if<Lease>(&left); lease != nullptr && invocation.caller_gone.stop_requested()) {
    if (!lease->cold()) finish(std::move(*lease), {.executed = false});
    left = {};  // a cold one, which was never started, is lost by that
  } else if (lease != nullptr) {
    observer_.passed(invocation, wait);
    return follow(invocation, mailbox, Decision(RunHere{}, WaitHere{}), now - invocation.arrival,
                  std::move(*lease));
  }
  auto* rejected = std::get_if<Rejected>(&left);
  Error error = rejected != nullptr ? std::move(rejected->error) : unsettled(invocation, now);
  wait.error = &error;
  observer_.passed(invocation, wait);
  return report(invocation, Unexpected(std::move(error)));
}

Decision Invoker::decide(const Invocation& invocation, TimePoint now) {
  const NodeView view = make_view(invocation, now);
  const std::scoped_lock lock(policy_mutex_);
  try {
    return policy_.on_arrival(invocation, view);
  } catch (const std::exception& error) {
    policy_failed(error.what(), invocation.id);
  } catch (...) {
    policy_failed("an exception of unknown type", invocation.id);
  }
  return LocalOnlyPolicy().on_arrival(invocation, view);
}

void Invoker::policy_failed(const char* what, std::string_view request) {
  policy_failures_.fetch_add(1, std::memory_order_relaxed);
  const TimePoint now = clock_.now();
  if (policy_logged_ != TimePoint{} && now - policy_logged_ < std::chrono::minutes(1)) return;
  policy_logged_ = now;
  observer_.log(LogLevel::kError, "the offloading policy raised; deciding as localonly",
                {{"request", request}, {"error", what}});
}

NodeView Invoker::make_view(const Invocation& invocation, TimePoint now) {
  const Function& function = *invocation.function;
  NodeView view;
  view.now = now;
  view.peers = peers_ != nullptr ? peers_->peers() : no_peers_;
  view.architecture = options_.architecture;
  const auto& archs = function.supported_archs;
  view.runnable_here =
      (archs.empty() || std::ranges::find(archs, options_.architecture) != archs.end()) &&
      std::ranges::any_of(served_, [&](const auto& row) { return row.runtime == function.runtime; });
  const std::scoped_lock lock(mutex_);
  view.pool = scheduler_->view(function.name);
  view.function = scheduler_->estimate(function.name);
  const Resources demand{function.memory_mb, to_millicores(function.cpu_demand)};
  view.runnable_here = view.runnable_here && demand.fits(view.pool.total);
  return view;
}

Placement Invoker::place(const Invocation& invocation, const Decision& decision, std::size_t first,
                         bool again, const std::shared_ptr<Mailbox>& mailbox) {
  Arrival arrival;
  arrival.function = invocation.function->name;
  arrival.qos_class = invocation.qos_class;
  arrival.start_deadline = invocation.start_deadline();
  arrival.asynchronous = invocation.asynchronous;
  arrival.input_bytes = invocation.params_size;
  arrival.again = again;
  arrival.mailbox = mailbox;
  Effects effects;
  Placement placement;
  {
    const std::scoped_lock lock(mutex_);
    placement = scheduler_->arrive(arrival, decision, first, clock_.now(), effects);
  }
  carry_out(effects);
  return placement;
}

Invoker::Progress Invoker::follow(Invocation& invocation, const std::shared_ptr<Mailbox>& mailbox,
                                  const Decision& decision, Duration waited, Placement placement) {
  while (true) {
    if (const auto* ticket = std::get_if<Ticket>(&placement)) return *ticket;
    if (auto* rejected = std::get_if<Rejected>(&placement)) {
      return report(invocation, Unexpected(std::move(rejected->error)));
    }
    if (auto* lease = std::get_if<Lease>(&placement)) {
      if (!discard_if_dead(*lease)) return report(invocation, execute(invocation, std::move(*lease), waited));
      placement = place(invocation, decision, 0, true, mailbox);
      continue;
    }
    const Offload offload = std::get<Offload>(std::move(placement));
    if (link_ == nullptr) {
      placement = place(invocation, decision, offload.next, false, mailbox);
      continue;
    }
    Result<ExecutionReport> answer = forward(invocation, offload.peer);
    if (!answer && peers_ != nullptr) peers_->failed(offload.peer, invocation, answer.error());
    if (answer || !did_not_start(answer.error())) return report(invocation, std::move(answer));
    placement = place(invocation, decision, offload.next, false, mailbox);
  }
}

Result<ExecutionReport> Invoker::forward(Invocation& invocation, const Peer& peer) {
  observer_.entered(invocation, Stage::kOffload);
  const TimePoint begin = clock_.now();
  const Duration rest = invocation.max_response_time > Duration::zero() ? invocation.start_deadline() - begin
                                                                        : options_.queue_timeout;
  const Duration timeout = invocation.function->timeout_sec ? from_seconds(*invocation.function->timeout_sec)
                                                            : options_.default_timeout;
  const TimePoint deadline = later(begin, rest + options_.start_timeout + timeout + std::chrono::seconds(1));
  Result<ExecutionReport> answer = link_->forward(invocation, peer, deadline);
  observer_.passed(invocation, {.stage = Stage::kOffload,
                                .begin = begin,
                                .end = clock_.now(),
                                .peer = &peer,
                                .error = answer ? nullptr : &answer.error(),
                                .failure = answer && answer->failure ? &*answer->failure : nullptr});
  return answer;
}

bool Invoker::discard_if_dead(Lease& lease) {
  if (lease.cold() || lease.container()->alive()) return false;
  finish(std::move(lease), {.executed = false, .doomed = true});
  return true;
}

Result<ExecutionReport> Invoker::execute(Invocation& invocation, Lease lease, Duration waited) {
  invocation.function = lease.function();
  ExecutionReport report;
  report.area = options_.area;
  report.node = options_.node;
  report.warm = !lease.cold();
  report.queueing_time = waited;
  if (lease.cold()) {
    const TimePoint begin = clock_.now();
    const Result<void> started = start(lease, report.init_time, invocation.id);
    observer_.passed(invocation, {.stage = Stage::kStart,
                                  .begin = begin,
                                  .end = clock_.now(),
                                  .error = started ? nullptr : &started.error()});
    if (!started) {
      finish(std::move(lease), {.executed = false, .doomed = true}, invocation.id);
      observer_.container_failed(*invocation.function, started.error(), invocation.id);
      if (started.error().code == ErrorCode::kNoResources) return Unexpected(started.error());
      report.failure = start_failure(started.error());
      report.response_time = clock_.now() - invocation.arrival;
      return report;
    }
    const bool gone = invocation.caller_gone.stop_requested();
    if (gone || invocation.start_deadline() <= clock_.now()) {
      finish(std::move(lease), {.executed = false});
      return Unexpected(unsettled(invocation, clock_.now()));
    }
  }
  return call(invocation, std::move(lease), std::move(report));
}

Result<ExecutionReport> Invoker::call(Invocation& invocation, Lease lease, ExecutionReport report) {
  observer_.entered(invocation, Stage::kExecute);
  const TimePoint begin = clock_.now();
  const Duration timeout = invocation.function->timeout_sec ? from_seconds(*invocation.function->timeout_sec)
                                                            : options_.default_timeout;
  Reply reply = lease.container()->invoke({.id = invocation.id,
                                           .params = invocation.params(),
                                           .return_output = invocation.return_output,
                                           .deadline = later(begin, timeout),
                                           .traceparent = invocation.traceparent,
                                           .tracestate = invocation.tracestate,
                                           .slot = lease.slot()});
  const TimePoint end = clock_.now();
  report.duration = end - begin;
  report.result = std::move(reply.result);
  report.failure = std::move(reply.failure);
  report.output = std::move(reply.output);
  finish(std::move(lease),
         {.executed = true,
          .doomed = reply.doomed,
          .duration = report.duration,
          .output_bytes = report.result.size()},
         invocation.id);
  observer_.passed(invocation, {.stage = Stage::kExecute,
                                .begin = begin,
                                .end = end,
                                .failure = report.failure ? &*report.failure : nullptr});
  report.response_time = clock_.now() - invocation.arrival;
  return report;
}

Result<void> Invoker::start(Lease& lease, Duration& init_time, std::string_view request) {
  const TimePoint begin = clock_.now();
  destroy_all(lease.take_victims(), request);
  Result<std::unique_ptr<Container>> container =
      runtime_.create(*lease.function(), later(clock_.now(), options_.start_timeout));
  init_time = clock_.now() - begin;
  if (!container) return Unexpected(std::move(container).error());
  Effects effects;
  {
    const std::scoped_lock lock(mutex_);
    scheduler_->started(lease, std::move(*container), init_time, clock_.now(), effects);
  }
  carry_out(effects);
  if (wake_upkeep_) wake_upkeep_();  // the start may have used up some stock
  observer_.container_started(*lease.function(), init_time, request);
  return {};
}

/// What the call itself has doomed is destroyed here and now, so that its memory is free when the caller has
/// the answer.
void Invoker::finish(Lease&& lease, const Settlement& settlement, std::string_view request) {
  Effects effects;
  {
    const std::scoped_lock lock(mutex_);
    scheduler_->finish(std::move(lease), settlement, clock_.now(), effects);
  }
  std::vector<Discarded> discarded = std::exchange(effects.discarded, {});
  carry_out(effects);
  if (settlement.doomed) {
    destroy_all(std::move(discarded), request);
  } else {
    defer(std::move(discarded));
  }
}

Result<ExecutionReport> Invoker::report(const Invocation& invocation, Result<ExecutionReport> outcome) {
  if (!outcome) {
    observer_.rejected(invocation, outcome.error());
    return outcome;
  }
  observer_.completed(invocation, *outcome);
  const std::scoped_lock lock(policy_mutex_);
  try {
    policy_.on_completion(invocation, *outcome);
  } catch (const std::exception& error) {
    policy_failed(error.what(), invocation.id);
  } catch (...) {
    policy_failed("an exception of unknown type", invocation.id);
  }
  return outcome;
}

Result<int> Invoker::prewarm(const FunctionPtr& function, int count, bool force_pull) {
  if (count == 0 || force_pull) {
    const Result<void> prepared =
        runtime_.prepare(*function, force_pull, later(clock_.now(), options_.start_timeout));
    if (!prepared) return Unexpected(prepared.error());
  }
  int started = 0;
  while (started < count) {
    Effects effects;
    Placement placement;
    {
      const std::scoped_lock lock(mutex_);
      placement = scheduler_->prewarm(function->name, clock_.now(), effects);
    }
    carry_out(effects);
    auto* lease = std::get_if<Lease>(&placement);
    if (lease == nullptr) {
      const auto* rejected = std::get_if<Rejected>(&placement);
      // No room for more is no error: the answer says how many there are.
      if (rejected != nullptr && rejected->error.code != ErrorCode::kNoResources)
        return Unexpected(rejected->error);
      break;
    }
    Duration init_time{0};
    const Result<void> up = start(*lease, init_time, {});
    finish(std::move(*lease), {.executed = false, .doomed = !up});
    if (!up) {
      observer_.container_failed(*function, up.error(), {});
      if (started == 0) return Unexpected(up.error());
      break;
    }
    ++started;
  }
  return started;
}

void Invoker::function_changed(const std::string& name, const FunctionPtr& current) {
  Effects effects;
  {
    const std::scoped_lock lock(mutex_);
    scheduler_->function_changed(name, current, clock_.now(), effects);
  }
  carry_out(effects);
  if (current && wake_upkeep_) wake_upkeep_();  // it may want stock
}

void Invoker::tick() {
  tick_policy();
  Effects effects;
  {
    const std::scoped_lock lock(mutex_);
    scheduler_->tick(clock_.now(), effects);
  }
  carry_out(effects);
  std::vector<Discarded> garbage;
  {
    const std::scoped_lock lock(garbage_mutex_);
    garbage.swap(garbage_);
  }
  destroy_all(std::move(garbage));
  runtime_.watch();
  refill_stock();
}

void Invoker::tick_policy() {
  NodeView view;
  view.now = clock_.now();
  view.peers = peers_ != nullptr ? peers_->peers() : no_peers_;
  view.architecture = options_.architecture;
  {
    const std::scoped_lock lock(mutex_);
    view.pool = scheduler_->view({});
  }
  const std::scoped_lock lock(policy_mutex_);
  if (policy_ticked_ != TimePoint{} && view.now - policy_ticked_ < std::chrono::seconds(1)) return;
  policy_ticked_ = view.now;
  try {
    policy_.on_tick(view);
  } catch (const std::exception& error) {
    policy_failed(error.what());
  } catch (...) {
    policy_failed("an exception of unknown type");
  }
}

void Invoker::refill_stock() {
  for (const StockPlan& plan : runtime_.stock_plans()) {
    std::optional<ContainerId> charged;
    {
      const std::scoped_lock lock(mutex_);
      charged = scheduler_->reserve_stock(plan);
    }
    if (!charged) continue;
    const Result<void> made = runtime_.add_stock(plan.runtime, later(clock_.now(), options_.start_timeout));
    bool wanted = true;
    Effects effects;
    {
      const std::scoped_lock lock(mutex_);
      wanted = scheduler_->stock_made(*charged, made.has_value(), clock_.now(), effects);
    }
    carry_out(effects);
    if (!wanted) runtime_.drop_stock(plan.runtime);
    if (!made) {
      observer_.log(LogLevel::kWarning, "cannot keep an instance in stock",
                    {{"runtime", plan.runtime}, {"error", made.error().message}});
    } else if (wake_upkeep_) {
      wake_upkeep_();
    }
  }
}

void Invoker::close() {
  submitted_->close();
  Effects effects;
  {
    const std::scoped_lock lock(mutex_);
    scheduler_->close(effects);
  }
  carry_out(effects);
}

bool Invoker::drain(TimePoint deadline) {
  draining_.store(true);
  std::unique_lock lock(idle_mutex_);
  while (inside_.load() > 0) {
    const Duration rest = deadline - clock_.now();
    if (rest <= Duration::zero()) return false;
    idle_.wait_for(lock, std::min<Duration>(rest, std::chrono::seconds(1)));
  }
  return true;
}

void Invoker::kill() {
  close();
  if (!drain(clock_.now())) {  // wakes every blocked call
    runtime_.shutdown();
    if (link_ != nullptr) link_->shutdown();
  }
  drain(TimePoint::max());
  submitted_->join();  // those that no thread had taken up are refused by now, or just being
  Effects effects;
  {
    const std::scoped_lock lock(mutex_);
    scheduler_->retire_all(effects);
  }
  destroy_all(std::exchange(effects.discarded, {}));
  std::vector<Discarded> garbage;
  {
    const std::scoped_lock lock(garbage_mutex_);
    garbage.swap(garbage_);
  }
  destroy_all(std::move(garbage));
  runtime_.shutdown();
}

PoolView Invoker::view(std::string_view function) const {
  const std::scoped_lock lock(mutex_);
  return scheduler_->view(function);
}

std::vector<std::pair<std::string, int>> Invoker::warm_containers() const {
  const std::scoped_lock lock(mutex_);
  return scheduler_->pool().warm_containers();
}

void Invoker::lease_lost(ContainerId container, int slot, std::vector<Discarded> victims) noexcept {
  Effects effects;
  {
    const std::scoped_lock lock(mutex_);
    scheduler_->lost(container, slot, clock_.now(), effects);
  }
  defer(std::move(victims));
  carry_out(effects);
}

void Invoker::carry_out(Effects& effects) {
  for (const std::shared_ptr<Mailbox>& mailbox : effects.posts) mailbox->post();
  defer(std::exchange(effects.discarded, {}));
}

void Invoker::defer(std::vector<Discarded> discarded) {
  if (discarded.empty()) return;
  {
    const std::scoped_lock lock(garbage_mutex_);
    std::ranges::move(discarded, std::back_inserter(garbage_));
  }
  if (wake_upkeep_) wake_upkeep_();
}

/// `request`: the id of the call that they are given up for; empty if none.
void Invoker::destroy_all(std::vector<Discarded> discarded, std::string_view request) {
  for (Discarded& given_up : discarded) {
    if (given_up.container) given_up.container->destroy();
    given_up.container.reset();
    if (!given_up.stock_runtime.empty()) runtime_.drop_stock(given_up.stock_runtime);
    Effects effects;
    {
      const std::scoped_lock lock(mutex_);
      scheduler_->destroyed(given_up.id, clock_.now(), effects);
    }
    carry_out(effects);
    if (given_up.function) observer_.container_gone(*given_up.function, given_up.reason, request);
  }
}

}  // namespace serverledge
