#include <catch2/catch.hpp>

#include "support/machine.hpp"

namespace serverledge::testing {
namespace {

std::string reason_of(const Placement& placement) {
  REQUIRE(std::holds_alternative<Rejected>(placement));
  return std::get<Rejected>(placement).error.detail;
}

TEST_CASE("A first call starts a container, the next one finds it warm", "[pool]") {
  Machine machine({1024, 2000});
  const FunctionPtr f = make_function("f");
  machine.announce(f);
  Lease first = lease_of(machine.arrive(f));
  CHECK(first.cold());
  machine.start(first);
  CHECK(machine.view("f").busy_containers == 1);
  machine.finish(std::move(first));
  CHECK(machine.view("f").warm == 1);
  Lease second = lease_of(machine.arrive(f));
  CHECK_FALSE(second.cold());
  machine.finish(std::move(second));
  CHECK(machine.view().held.memory_mb == 128);
}

TEST_CASE("The idle container that was used last is taken first", "[pool]") {
  Machine machine({1024, 2000});
  const FunctionPtr f = make_function("f");
  machine.announce(f);
  Lease a = lease_of(machine.arrive(f));
  Lease b = lease_of(machine.arrive(f));
  machine.start(a);
  machine.start(b);
  const ContainerId last = a.id();
  machine.finish(std::move(b));
  machine.now = at(1);
  machine.finish(std::move(a));
  Lease again = lease_of(machine.arrive(f));
  CHECK(again.id() == last);
  machine.finish(std::move(again));
}

// Known defect 2: a container was released twice and then handed to a second call.
TEST_CASE("A container with MaxConcurrency 1 is never given to two calls", "[pool]") {
  Machine machine({1024, 2000});
  const FunctionPtr f = make_function("f");
  machine.announce(f);
  machine.warm_up(f);
  Lease first = lease_of(machine.arrive(f));
  Lease second = lease_of(machine.arrive(f));
  CHECK(first.id() != second.id());
  CHECK(second.cold());
  machine.start(second);
  machine.finish(std::move(first));
  machine.finish(std::move(second));
  CHECK(machine.view("f").warm == 2);
  CHECK(machine.view().busy == Resources{});
}

TEST_CASE("Calls share a container up to MaxConcurrency, each with a slot of its own", "[pool]") {
  Machine machine({1024, 2000});
  const FunctionPtr f = make_function("f", 128, 0, 70);
  machine.announce(f);
  machine.warm_up(f);
  std::vector<Lease> leases;
  std::vector<int> slots;
  for (int i = 0; i < 70; ++i) {
    leases.push_back(lease_of(machine.arrive(f)));
    slots.push_back(leases.back().slot());
    CHECK(leases.back().id() == leases.front().id());
  }
  std::ranges::sort(slots);
  CHECK(std::ranges::adjacent_find(slots) == slots.end());
  CHECK(slots.back() == 69);
  Lease other = lease_of(machine.arrive(f));
  CHECK(other.id() != leases.front().id());
  for (Lease& lease : leases) machine.finish(std::move(lease));
  machine.start(other);
  machine.finish(std::move(other));
}

// Known defect 12: the idle container was popped before the check of the cores, and lost.
TEST_CASE("A warm container is not lost when no cores are free for it", "[pool]") {
  Machine machine({1024, 1000});
  const FunctionPtr f = make_function("f", 128, 1.0);
  const FunctionPtr g = make_function("g", 128, 0.5);
  machine.announce(f);
  machine.announce(g);
  machine.warm_up(f);
  Lease running = lease_of(machine.arrive(g));
  machine.start(running);
  for (int i = 0; i < 10; ++i) CHECK(reason_of(machine.arrive(f)) == "queue_full");
  CHECK(machine.view("f").warm == 1);
  CHECK(machine.view().held.memory_mb == 256);
  machine.finish(std::move(running));
  Lease warm = lease_of(machine.arrive(f));
  CHECK_FALSE(warm.cold());
  machine.finish(std::move(warm));
}

TEST_CASE("Idle containers are evicted, oldest first, and stay charged until they are gone", "[pool]") {
  Machine machine({512, 2000});
  const FunctionPtr f = make_function("f", 128);
  const FunctionPtr g = make_function("g", 128);
  const FunctionPtr big = make_function("big", 384);
  for (const auto& function : {f, g, big}) machine.announce(function);
  machine.warm_up(f);
  machine.now = at(1);
  machine.warm_up(g);
  machine.now = at(2);
  Lease lease = lease_of(machine.arrive(big));
  CHECK(machine.view("f").warm == 0);
  CHECK(machine.view("g").warm == 1);
  CHECK(machine.view().held.memory_mb == 512);  // g, the victim, and what was free before
  machine.start(lease);
  CHECK(machine.view().held.memory_mb == 512);  // g and big
  machine.finish(std::move(lease));
}

TEST_CASE("Nothing is evicted for a call that cannot fit anyway", "[pool]") {
  Machine machine({512, 2000});
  const FunctionPtr f = make_function("f", 128);
  const FunctionPtr busy = make_function("busy", 256);
  const FunctionPtr big = make_function("big", 384);
  for (const auto& function : {f, busy, big}) machine.announce(function);
  machine.warm_up(f);
  Lease running = lease_of(machine.arrive(busy));
  machine.start(running);
  CHECK(reason_of(machine.arrive(big)) == "queue_full");
  CHECK(machine.view("f").warm == 1);
  machine.finish(std::move(running));
}

TEST_CASE("An idle container is given up when its keep-alive is over, not before", "[pool]") {
  Machine machine({512, 2000}, 0, 100, 10);
  const FunctionPtr f = make_function("f");
  machine.announce(f);
  machine.warm_up(f);
  machine.now = at(9.9);
  machine->tick(machine.now, machine.effects);
  CHECK(machine.effects.discarded.empty());
  machine.now = at(10);
  machine->tick(machine.now, machine.effects);
  REQUIRE(machine.effects.discarded.size() == 1);
  CHECK(machine.effects.discarded.front().reason == std::string("expired"));
  CHECK(machine.view().held.memory_mb == 128);
  machine.sweep();
  CHECK(machine.view().held.memory_mb == 0);
}

// Known defect 13: prewarmed containers had no expiry and went with the next janitor.
TEST_CASE("A prewarmed container lives as long as others", "[pool]") {
  Machine machine({512, 2000}, 0, 100, 10);
  const FunctionPtr f = make_function("f");
  machine.announce(f);
  Placement placement = machine->prewarm("f", machine.now, machine.effects);
  auto& lease = std::get<Lease>(placement);
  machine.start(lease);
  machine->finish(std::move(lease), {.executed = false}, machine.now, machine.effects);
  machine.now = at(9);
  machine->tick(machine.now, machine.effects);
  CHECK(machine.view("f").warm == 1);
  Lease warm = lease_of(machine.arrive(f));
  CHECK_FALSE(warm.cold());
  machine.finish(std::move(warm));
}

TEST_CASE("Prewarming evicts nothing", "[pool]") {
  Machine machine({256, 2000});
  const FunctionPtr f = make_function("f", 128);
  const FunctionPtr g = make_function("g", 256);
  machine.announce(f);
  machine.announce(g);
  machine.warm_up(f);
  CHECK(reason_of(machine->prewarm("g", machine.now, machine.effects)) == "memory");
  CHECK(machine.view("f").warm == 1);
}

// Known defect 14: a failed creation gave back the wrong amounts, or none.
TEST_CASE("A start that fails gives back exactly what it took", "[pool]") {
  Machine machine({512, 2000});
  const FunctionPtr f = make_function("f", 128, 1.5);
  machine.announce(f);
  for (int i = 0; i < 5; ++i) {
    Lease lease = lease_of(machine.arrive(f));
    CHECK(machine.view().busy == Resources{128, 1500});
    machine->finish(std::move(lease), {.executed = false, .doomed = true}, machine.now, machine.effects);
    machine.sweep();
    CHECK(machine.view().busy == Resources{});
    CHECK(machine.view().held == Resources{});
  }
  Placement prewarm = machine->prewarm("f", machine.now, machine.effects);
  machine->finish(std::get<Lease>(std::move(prewarm)), {.executed = false, .doomed = true}, machine.now,
                  machine.effects);
  machine.sweep();
  CHECK(machine.view().held == Resources{});
  CHECK(machine->pool().size() == 0);
}

// Known defect 15: the release used the current record, and old code was served on.
TEST_CASE("An update never mixes old and new: busy containers of the old record finish and go", "[pool]") {
  Machine machine({1024, 2000});
  const FunctionPtr old = make_function("f", 128, 1.0);
  machine.announce(old);
  machine.warm_up(old);
  Lease running = lease_of(machine.arrive(old));
  const FunctionPtr updated = make_function("f", 256, 0.5, 1, 2);
  machine.announce(updated);
  CHECK(machine.view().busy == Resources{128, 1000});
  Lease fresh = lease_of(machine.arrive(old));  // the caller still holds the old record
  CHECK(fresh.cold());
  CHECK(fresh.function()->revision == 2);
  machine.start(fresh);
  machine.finish(std::move(running));
  machine.sweep();
  CHECK(machine.view().busy == Resources{256, 500});
  CHECK(machine.view("f").warm == 0);
  machine.finish(std::move(fresh));
  CHECK(machine.view("f").warm == 1);
}

TEST_CASE("A container that starts during an update serves its call and then goes", "[pool]") {
  Machine machine({1024, 2000});
  const FunctionPtr old = make_function("f");
  machine.announce(old);
  Lease starting = lease_of(machine.arrive(old));
  machine.announce(make_function("f", 128, 0, 1, 2));
  machine.start(starting);
  CHECK(starting.function()->revision == 1);
  machine.finish(std::move(starting));
  CHECK(machine.view("f").warm == 0);
  machine.sweep();
  CHECK(machine->pool().size() == 0);
}

TEST_CASE("Deleting a function gives up its idle containers at once and busy ones when they are done",
          "[pool]") {
  Machine machine({1024, 2000});
  const FunctionPtr f = make_function("f");
  machine.announce(f);
  Lease busy = lease_of(machine.arrive(f));
  machine.start(busy);
  machine.warm_up(f);
  machine->function_changed("f", nullptr, machine.now, machine.effects);
  CHECK(machine.effects.discarded.size() == 1);
  machine.sweep();
  CHECK(machine->pool().size() == 1);
  CHECK(reason_of(machine.arrive(f)) == "unknown");
  machine.finish(std::move(busy), true);  // a call that fails after the delete leaks nothing either
  machine.sweep();
  CHECK(machine->pool().size() == 0);
  CHECK(machine.view().held == Resources{});
}

// Known defect 16: a dead container went back to the pool, first in line.
TEST_CASE("A doomed container is never leased again", "[pool]") {
  Machine machine({1024, 2000});
  const FunctionPtr f = make_function("f", 128, 0, 2);
  machine.announce(f);
  machine.warm_up(f);
  Lease a = lease_of(machine.arrive(f));
  Lease b = lease_of(machine.arrive(f));
  REQUIRE(a.id() == b.id());
  const ContainerId dead = a.id();
  machine.finish(std::move(a), true);
  Lease c = lease_of(machine.arrive(f));
  CHECK(c.id() != dead);
  CHECK(machine.effects.discarded.empty());  // b still runs in it
  machine.finish(std::move(b));
  CHECK(machine.effects.discarded.size() == 1);
  machine.start(c);
  machine.finish(std::move(c));
}

TEST_CASE("A lease that is destroyed without a report discards its container", "[pool]") {
  Machine machine({1024, 2000});
  const FunctionPtr f = make_function("f");
  machine.announce(f);
  machine.warm_up(f);
  { const Lease dropped = lease_of(machine.arrive(f)); }
  CHECK(machine.effects.discarded.size() == 1);
  machine.sweep();
  CHECK(machine.view().held == Resources{});
}

TEST_CASE("Unspecialised instances are charged, used by a cold start, and evicted first", "[pool]") {
  Machine machine({256, 2000});
  Function script = *make_function("js", 128);
  script.runtime = "nodejs17ng";
  const auto js = std::make_shared<const Function>(script);
  const FunctionPtr py = make_function("py", 192);
  machine.announce(js);
  machine.announce(py);
  const StockPlan plan{"nodejs17ng", 64, 2};
  for (int i = 0; i < 2; ++i) {
    const auto id = machine->reserve_stock(plan);
    REQUIRE(id);
    CHECK(machine->stock_made(*id, true, machine.now, machine.effects));
  }
  CHECK_FALSE(machine->reserve_stock(plan));
  CHECK(machine.view().held.memory_mb == 128);
  Lease specialised = lease_of(machine.arrive(js));
  CHECK(machine->pool().stock("nodejs17ng") == 1);
  CHECK(machine.view().held.memory_mb == 64 + 128);
  machine.start(specialised);
  machine.finish(std::move(specialised));
  Lease python = lease_of(machine.arrive(py));
  std::vector<Discarded> victims = python.take_victims();
  REQUIRE(victims.size() == 2);
  CHECK(victims.front().stock_runtime == "nodejs17ng");
  for (const Discarded& victim : victims) machine->destroyed(victim.id, machine.now, machine.effects);
  machine.start(python);
  CHECK(machine.view().held.memory_mb == 192);
  machine.finish(std::move(python));
}

TEST_CASE("A call whose memory stock that is being made holds waits for it, and is not refused", "[pool]") {
  Machine machine({128, 2000}, 0);
  const FunctionPtr f = make_function("f");
  machine.announce(f);
  const auto id = machine->reserve_stock({f->runtime, 8, 2});
  REQUIRE(id);
  const Placement waiting = machine.arrive(f);
  REQUIRE(std::holds_alternative<Ticket>(waiting));
  CHECK(machine.view().queued == 0);
  CHECK_FALSE(machine->reserve_stock({f->runtime, 8, 2}));
  const bool made = GENERATE(true, false);
  machine->stock_made(*id, made, machine.now, machine.effects);
  Left left = machine->leave(std::get<Ticket>(waiting).id, machine.now, machine.effects);
  REQUIRE(std::holds_alternative<Lease>(left));
  CHECK(machine.view().held.memory_mb == 128);
  machine.start(std::get<Lease>(left));
  machine.finish(std::get<Lease>(std::move(left)));
}

TEST_CASE("Memory that is just being given back is waited for, not refused", "[pool]") {
  Machine machine({128, 2000}, 0);
  const FunctionPtr f = make_function("f");
  machine.announce(f);
  machine.warm_up(f);
  machine.announce(make_function("f", 128, 0, 1, 2));
  const Placement waiting = machine.arrive(f);
  REQUIRE(std::holds_alternative<Ticket>(waiting));
  CHECK(machine.view().queued == 0);
  machine.sweep();
  Left left = machine->leave(std::get<Ticket>(waiting).id, machine.now, machine.effects);
  REQUIRE(std::holds_alternative<Lease>(left));
  CHECK(std::get<Lease>(left).function()->revision == 2);
  machine.start(std::get<Lease>(left));
  machine.finish(std::get<Lease>(std::move(left)));
}

TEST_CASE("Greedy-dual keeps what is costly to start and often used", "[pool]") {
  GreedyDualKeepAlive policy(std::chrono::seconds(600));
  IdleContainer cheap{.function = "cheap",
                      .memory_mb = 128,
                      .idle_since = at(2),
                      .init_time = from_seconds(0.01),
                      .uses = 10};
  IdleContainer dear{
      .function = "dear", .memory_mb = 128, .idle_since = at(1), .init_time = from_seconds(2), .uses = 10};
  CHECK(policy.on_idle(cheap) < policy.on_idle(dear));
  dear.priority = policy.on_idle(dear);
  policy.on_evicted(dear);
  CHECK(policy.on_idle(cheap) > dear.priority);  // the clock has moved on: what was kept long ages
}

}  // namespace
}  // namespace serverledge::testing
