#pragma once

#include <atomic>

#include "serverledge/core/clock.hpp"

namespace serverledge::test {

/// A clock whose hands the test moves. Begins at a moment of 2026. Thread-safe.
class ManualClock final : public Clock {
 public:
  TimePoint now() const override { return TimePoint(std::chrono::hours(1) + passed_.load()); }
  WallTime wall() const override { return WallTime(std::chrono::seconds(1'800'000'000) + passed_.load()); }
  void advance(Duration by) { passed_ = passed_.load() + by; }

 private:
  std::atomic<Duration> passed_{Duration::zero()};
};

}  // namespace serverledge::test
