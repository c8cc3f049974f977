#include "away_calls.hpp"

#include <catch2/catch.hpp>
#include <stdexcept>
#include <thread>

#include "support/gate.hpp"

namespace serverledge::python {
namespace {

using test::Gate;

TimePoint in_a_minute() { return later(system_clock().now(), std::chrono::minutes(1)); }

AwayCalls::Outcome answer(std::string text) {
  ExecutionReport report;
  report.result = std::move(text);
  return report;
}

TEST_CASE("A doorbell wakes who waits, also by a ring that came before, and ends a wait at its deadline",
          "[bell]") {
  Doorbell bell;
  CHECK_FALSE(bell.wait(system_clock().now()));
  bell.ring();
  bell.ring();
  CHECK(bell.wait(in_a_minute()));
  CHECK_FALSE(bell.wait(later(system_clock().now(), std::chrono::milliseconds(5))));
  Doorbell back;
  const std::jthread other([&] {
    for (int i = 0; i < 2000; ++i) {
      bell.wait(in_a_minute());
      back.ring();
    }
  });
  int heard = 0;
  for (int i = 0; i < 2000; ++i) {
    bell.ring();
    heard += back.wait(in_a_minute()) ? 1 : 0;
  }
  CHECK(heard == 2000);
}

TEST_CASE("A call runs on another thread, the next on the same", "[away]") {
  AwayCalls calls;
  std::thread::id first;
  for (int i = 0; i < 100; ++i) {
    std::thread::id ran;
    const auto call = calls.begin([&](const std::stop_token&) {
      ran = std::this_thread::get_id();
      return answer("7");
    });
    REQUIRE(call->wait(in_a_minute()));
    CHECK(call->take()->result == "7");
    if (i == 0) first = ran;
    CHECK(ran == first);
    CHECK(ran != std::this_thread::get_id());
  }
}

TEST_CASE("A call that is left is told so and goes on, while others run", "[away]") {
  AwayCalls calls;
  Gate gate;
  std::stop_token seen;
  auto left = calls.begin([&](std::stop_token gone) {
    seen = std::move(gone);
    gate.wait();
    return answer("late");
  });
  REQUIRE(gate.wait_for_arrivals(1));
  CHECK_FALSE(left->wait(later(system_clock().now(), std::chrono::milliseconds(5))));
  CHECK_FALSE(seen.stop_requested());
  left.reset();
  CHECK(seen.stop_requested());
  const auto other = calls.begin([](const std::stop_token&) { return answer("1"); });
  REQUIRE(other->wait(in_a_minute()));
  CHECK(other->take()->result == "1");
  gate.open();
}

TEST_CASE("The end of the threads comes after that of their calls, and is no end of calls", "[away]") {
  AwayCalls calls;
  std::atomic<bool> ran{false};
  const auto call = calls.begin([&](const std::stop_token&) {
    ran = true;
    return answer("1");
  });
  calls.end_threads();
  CHECK(ran);
  CHECK(call->wait(system_clock().now()));
  const auto broken =
      calls.begin([](const std::stop_token&) -> AwayCalls::Outcome { throw std::runtime_error("a defect"); });
  REQUIRE(broken->wait(in_a_minute()));
  CHECK(broken->take().error().message == "a defect");
}

}  // namespace
}  // namespace serverledge::python
