// Random sequences of events are thrown at the scheduler and its pool; after each step the invariants must
// hold: memory and cores never exceed the node's, no container has more calls than it may, each call gets
// exactly one outcome; and when all is over nothing is held. SERVERLEDGE_SEED=<n> repeats one run.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <map>
#include <set>

#include "support/machine.hpp"

namespace serverledge::testing {
namespace {

constexpr int kSteps = 12'000;
constexpr Resources kTotal{2048, 3000};

class RandomRun {
 public:
  explicit RandomRun(std::uint64_t seed)
      : random_(seed), machine_(kTotal, 1 + random_.below(20), static_cast<int>(1 + random_.below(6)), 20) {
    for (int i = 0; i < 8; ++i) change_function();
  }

  void run() {
    for (int step = 0; step < kSteps; ++step) {
      machine_.now += from_seconds(random_.uniform() * 0.2);
      act();
      settle_effects(false);
      check();
    }
    wind_down();
  }

 private:
  struct Waiting {
    TicketId ticket;
    std::shared_ptr<CountingMailbox> mailbox;
  };

  void act() {
    switch (random_.below(14)) {
      case 0:
        return change_function();
      case 1:
        return tick();
      case 2:
        return hang_up();
      case 3:
        return prewarm();
      case 4:
        return stock();
      case 5:
      case 6:
      case 7:
      case 8:
        return end_call();
      default:
        return arrive();
    }
  }

  std::string name() { return "f" + std::to_string(random_.below(8)); }

  void change_function() {
    const std::string changed = name();
    if (known_.size() > 4 && random_.below(5) == 0) {
      known_.erase(changed);
      machine_->function_changed(changed, nullptr, machine_.now, machine_.effects);
      return;
    }
    Function function = *make_function(changed, static_cast<std::int64_t>(32 + random_.below(900)),
                                       static_cast<double>(random_.below(4)) * 0.7,
                                       static_cast<int>(1 + random_.below(4)), ++revision_);
    if (random_.below(3) == 0) function.runtime = "nodejs17ng";
    known_[changed] = std::make_shared<const Function>(function);
    machine_.announce(known_[changed]);
  }

  void arrive() {
    ++arrived_;
    const auto mailbox = std::make_shared<CountingMailbox>();
    const FunctionPtr function = make_function(name());
    const TimePoint deadline =
        random_.below(3) == 0 ? machine_.now + from_seconds(random_.uniform() * 3 - 0.2) : TimePoint::max();
    Placement placement = machine_.arrive(function, mailbox, static_cast<int>(random_.below(3)), deadline,
                                          random_.below(4) == 0);
    if (auto* lease = std::get_if<Lease>(&placement)) return hold(std::move(*lease));
    if (const auto* ticket = std::get_if<Ticket>(&placement)) {
      waiting_.push_back({ticket->id, mailbox});
      return;
    }
    ++outcomes_;
  }

  void prewarm() {
    Placement placement = machine_->prewarm(name(), machine_.now, machine_.effects);
    if (auto* lease = std::get_if<Lease>(&placement)) {
      ++arrived_;
      hold(std::move(*lease));
    }
  }

  void hold(Lease lease) {
    if (!lease.cold()) {
      // Never a container of a record that has been replaced.
      const auto current = known_.find(lease.function()->name);
      REQUIRE(current != known_.end());
      REQUIRE(lease.function()->revision == current->second->revision);
    }
    REQUIRE(slots_.emplace(lease.id(), lease.slot()).second);
    held_.push_back(std::move(lease));
  }

  /// Something happens to one lease that is held: its container starts or fails, the call ends, or it is
  /// dropped.
  void end_call() {
    if (held_.empty()) return;
    const std::size_t index = random_.below(held_.size());
    Lease lease = std::move(held_[index]);
    held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(index));
    const std::uint64_t dice = random_.below(20);
    if (lease.cold() && lease.container() == nullptr && dice > 2) {
      machine_.start(lease);
      held_.push_back(std::move(lease));
      return;
    }
    slots_.erase({lease.id(), lease.slot()});
    ++outcomes_;
    if (dice == 0) return;  // lost
    const bool not_started = lease.container() == nullptr;
    machine_->finish(std::move(lease), {.executed = !not_started, .doomed = not_started || dice < 4},
                     machine_.now, machine_.effects);
  }

  void hang_up() {
    if (waiting_.empty()) return;
    const std::size_t index = random_.below(waiting_.size());
    leave(index);
  }

  void leave(std::size_t index) {
    const Waiting waiting = waiting_[index];
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
    Left left = machine_->leave(waiting.ticket, machine_.now, machine_.effects);
    if (auto* lease = std::get_if<Lease>(&left)) return hold(std::move(*lease));
    ++outcomes_;
    // A second leave finds nothing: one outcome only.
    REQUIRE(std::holds_alternative<std::monostate>(
        machine_->leave(waiting.ticket, machine_.now, machine_.effects)));
  }

  void tick() { machine_->tick(machine_.now, machine_.effects); }

  // Stock is made in the time of some other steps.
  void stock() {
    if (stock_.size() == 2 || (!stock_.empty() && random_.below(2) == 0)) return end_stock();
    if (const auto id = machine_->reserve_stock({"nodejs17ng", 48, 2})) stock_.push_back(*id);
  }

  void end_stock() {
    machine_->stock_made(stock_.back(), random_.below(4) != 0, machine_.now, machine_.effects);
    stock_.pop_back();
  }

  /// Posted calls take up what they got; some of what was discarded is gone (all of it, if `all`).
  void settle_effects(bool all) {
    for (const auto& mailbox : std::exchange(machine_.effects.posts, {})) mailbox->post();
    for (std::size_t index = waiting_.size(); index-- > 0;) {
      if (waiting_[index].mailbox->posts > 0) leave(index);
    }
    for (Discarded& given_up : std::exchange(machine_.effects.discarded, {})) garbage_.push_back(given_up.id);
    while (!garbage_.empty() && (all || random_.below(3) != 0)) {
      machine_->destroyed(garbage_.back(), machine_.now, machine_.effects);
      garbage_.pop_back();
    }
  }

  void check() {
    const PoolView view = machine_.view();
    REQUIRE(view.held.memory_mb >= 0);
    REQUIRE(view.held.memory_mb <= kTotal.memory_mb);
    REQUIRE(view.busy.millicores >= 0);
    REQUIRE(view.busy.millicores <= kTotal.millicores);
    REQUIRE(view.queued <= view.queue_capacity);
    REQUIRE(view.queued <= waiting_.size());
    std::map<ContainerId, int> calls;
    std::map<ContainerId, Resources> busy;
    for (const Lease& lease : held_) {
      REQUIRE(++calls[lease.id()] <= lease.function()->max_concurrency);
      busy[lease.id()] = {lease.function()->memory_mb, to_millicores(lease.function()->cpu_demand)};
    }
    Resources expected;
    for (const auto& [id, resources] : busy) expected += resources;
    // Leases that were placed and not yet collected are busy, too.
    REQUIRE(expected.fits(view.busy));
  }

  void wind_down() {
    while (!stock_.empty()) end_stock();
    for (int round = 0; round < 1000 && (!held_.empty() || !waiting_.empty()); ++round) {
      while (!held_.empty()) end_call();
      machine_.now += std::chrono::seconds(31);
      tick();
      settle_effects(true);
      check();
    }
    machine_->retire_all(machine_.effects);
    for (int round = 0; round < 10; ++round) settle_effects(true);
    REQUIRE(arrived_ == outcomes_);
    REQUIRE(machine_->waiting() == 0);
    REQUIRE(machine_->pool().size() == 0);
    REQUIRE(machine_.view().held == Resources{});
    REQUIRE(machine_.view().busy == Resources{});
    REQUIRE(machine_.view().queued == 0);
  }

  SeededRandom random_;
  Machine machine_;
  std::map<std::string, FunctionPtr> known_;
  std::vector<Lease> held_;
  std::set<std::pair<ContainerId, int>> slots_;
  std::vector<Waiting> waiting_;
  std::vector<ContainerId> garbage_;
  std::vector<ContainerId> stock_;  // being made
  std::uint64_t revision_ = 0;
  int arrived_ = 0;
  int outcomes_ = 0;
};

TEST_CASE("Whatever happens, resources are never exceeded, each call ends once, and nothing is left",
          "[property]") {
  const char* chosen = std::getenv("SERVERLEDGE_SEED");
  if (chosen != nullptr) {
    RandomRun(std::strtoull(chosen, nullptr, 10)).run();
    return;
  }
  const std::uint64_t base = entropy() % 1'000'000'000;
  for (std::uint64_t seed = base; seed < base + 12; ++seed) {
    INFO("SERVERLEDGE_SEED=" << seed);
    RandomRun(seed).run();
  }
}

}  // namespace
}  // namespace serverledge::testing
