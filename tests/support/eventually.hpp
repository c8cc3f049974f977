#pragma once

#include <chrono>
#include <thread>

#include "serverledge/core/clock.hpp"

namespace serverledge::test {

/// Asks again until it is so; false if it is not within a minute. For what happens in another process, or on
/// a thread that tells nobody.
template <typename Condition>
bool eventually(Condition is_so) {
  const TimePoint deadline = system_clock().now() + std::chrono::minutes(1);
  while (!is_so()) {
    if (system_clock().now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace serverledge::test
