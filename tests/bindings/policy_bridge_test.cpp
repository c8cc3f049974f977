#include "policy_bridge.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/gate.hpp"
#include "support/machine.hpp"

namespace serverledge::python {
namespace {

using test::Gate;

constexpr Duration kMinute = std::chrono::minutes(1);

Invocation arriving() {
  Invocation invocation;
  invocation.id = "f-1";
  invocation.function = testing::make_function("f");
  return invocation;
}

NodeView seen() {
  NodeView view;
  view.peers = std::make_shared<PeerSnapshot>();
  view.architecture = "amd64";
  return view;
}

/// The policy's thread, which does with each task what the test says until the bridge ends.
template <typename Work>
std::jthread policy_thread(PolicyBridge& bridge, Work work) {
  return std::jthread([&bridge, work = std::move(work)]() mutable {
    while (const std::optional<Task> task = bridge.next()) work(*task);
  });
}

/// Ends the bridge before the thread is joined.
struct Ended {
  PolicyBridge& bridge;
  ~Ended() { bridge.end(); }
};

TEST_CASE("A bridge carries a question to the policy's thread, and its decision back", "[bridge]") {
  PolicyBridge bridge(false, false);
  bridge.set_timeout(kMinute);
  std::thread::id ran;
  const std::jthread thread = policy_thread(bridge, [&](const Task& task) {
    ran = std::this_thread::get_id();
    CHECK(bridge.on_policy_thread());
    CHECK(task.arrival->id == "f-1");
    CHECK(task.view->architecture == "amd64");
    bridge.answer(Decision(Refuse{"why not"}, WaitHere{}));
  });
  const Ended ended{bridge};
  const Decision decision = bridge.decide(arriving(), seen());
  REQUIRE(decision.size() == 2);
  CHECK(std::get<Refuse>(decision[0]).reason == "why not");
  CHECK(ran != std::this_thread::get_id());
  CHECK_FALSE(bridge.on_policy_thread());
  CHECK(bridge.counts().decided == 1);
  CHECK(bridge.counts().waited > Duration::zero());
}

TEST_CASE("A policy that fails is told as an exception, to the call that asked", "[bridge]") {
  PolicyBridge bridge(false, false);
  bridge.set_timeout(kMinute);
  const std::jthread thread = policy_thread(bridge, [&](const Task&) { bridge.fail("ValueError: no"); });
  const Ended ended{bridge};
  CHECK_THROWS_WITH(bridge.decide(arriving(), seen()), "ValueError: no");
  CHECK_THROWS_WITH(bridge.decide(arriving(), seen()), "ValueError: no");
  CHECK(bridge.counts().failed == 2);
}

TEST_CASE("While a policy is busy with what was too late, no call waits, and its late answer is lost",
          "[bridge]") {
  PolicyBridge bridge(false, false);
  bridge.set_timeout(std::chrono::milliseconds(1));
  Gate gate;
  Gate back;
  std::atomic<int> tasks{0};
  const std::jthread thread = policy_thread(bridge, [&](const Task&) {
    if (tasks++ == 0) {
      gate.wait();
      bridge.answer(Decision(Refuse{"of the first"}));
      back.open();
    } else {
      bridge.answer(Decision(RunHere{}));
    }
  });
  const Ended ended{bridge};
  // The first may be given up before the thread has taken it up, and then the thread is not late.
  while (tasks == 0) CHECK_THROWS(bridge.decide(arriving(), seen()));
  REQUIRE(gate.wait_for_arrivals(1));
  const auto waited = bridge.counts().waited;
  bridge.set_timeout(kMinute);  // whoever waited now would wait long
  for (int i = 0; i < 100; ++i)
    CHECK_THROWS_WITH(bridge.decide(arriving(), seen()), Catch::Contains("still busy"));
  CHECK(bridge.counts().waited == waited);
  gate.open();
  REQUIRE(back.wait());
  // It is not late any more when it asks for the next task.
  std::optional<Decision> decision;
  const TimePoint deadline = later(system_clock().now(), kMinute);
  while (!decision && system_clock().now() < deadline) {
    try {
      decision = bridge.decide(arriving(), seen());
    } catch (const std::runtime_error&) {
      std::this_thread::yield();
    }
  }
  REQUIRE(decision);
  CHECK(std::holds_alternative<RunHere>((*decision)[0]));
}

TEST_CASE("A bridge that has ended fails every question, also the one that waits", "[bridge]") {
  PolicyBridge bridge(true, true);
  bridge.set_timeout(kMinute);
  Gate gate;
  std::atomic<bool> failed{false};
  std::jthread caller([&] {
    gate.open();
    try {
      (void)bridge.decide(arriving(), seen());
    } catch (const std::runtime_error&) {
      failed = true;
    }
  });
  REQUIRE(gate.wait());
  bridge.end();
  caller.join();
  CHECK(failed);
  CHECK_THROWS(bridge.decide(arriving(), seen()));
  CHECK_FALSE(bridge.next());
  bridge.completed(arriving(), ExecutionReport{});
  CHECK_FALSE(bridge.next());
}

TEST_CASE("A policy is told of what it wants to know, in order, and of a thousand at most", "[bridge]") {
  PolicyBridge deaf(false, false);
  deaf.completed(arriving(), ExecutionReport{});
  deaf.tick(seen());
  PolicyBridge bridge(true, true);
  bridge.tick(seen());
  for (int i = 0; i < 1500; ++i) {
    ExecutionReport report;
    report.warm = i % 2 == 0;
    bridge.completed(arriving(), report);
  }
  CHECK(bridge.counts().dropped == 501);
  CHECK(bridge.next()->kind == Task::Kind::kTick);
  CHECK(bridge.next()->ending->warm);
  CHECK_FALSE(bridge.next()->ending->warm);
  deaf.end();
  CHECK_FALSE(deaf.next());
}

TEST_CASE("Every question is decided, late or failed, whoever asks while the policy stumbles", "[bridge]") {
  const auto bridge = std::make_shared<PolicyBridge>(true, true);
  bridge->set_timeout(std::chrono::microseconds(300));
  const std::jthread thread = policy_thread(*bridge, [&, tasks = 0](const Task&) mutable {
    if (++tasks % 20 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    tasks % 7 == 0 ? bridge->fail("no") : bridge->answer(Decision(RunHere{}));
  });
  const Ended ended{*bridge};
  BridgedPolicy policy(bridge);
  std::mutex mutex;  // as the invoker has it
  std::uint64_t decided = 0;
  {
    std::vector<std::jthread> callers;
    for (int caller = 0; caller < 4; ++caller) {
      callers.emplace_back([&] {
        for (int i = 0; i < 500; ++i) {
          const std::scoped_lock lock(mutex);
          try {
            decided += policy.on_arrival(arriving(), seen()).size();
          } catch (const std::runtime_error&) {
          }
          policy.on_completion(arriving(), ExecutionReport{});
          policy.on_tick(seen());
        }
      });
    }
  }
  const PolicyBridge::Counts counts = bridge->counts();
  CHECK(counts.asked == 2000);
  CHECK(counts.decided == decided);
  CHECK(counts.decided + counts.late <= counts.asked);
}

}  // namespace
}  // namespace serverledge::python
