#pragma once

#include <chrono>
#include <cstdint>

namespace serverledge {

using Duration = std::chrono::nanoseconds;
/// A moment of the monotonic clock. Arithmetic saturates nowhere: use `TimePoint::max()` for "never" and
/// compare only.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;
/// A moment of wall time, for records that people and other nodes read.
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

/// Seconds as a double, the unit of the wire.
inline double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }
/// A duration of that many seconds; clamped to +-100 years, NaN becomes 0.
Duration from_seconds(double seconds);
/// `at + duration`, clamped to what a TimePoint can hold.
TimePoint later(TimePoint at, Duration duration);

/// Where time comes from. Thread-safe. Real nodes use `system_clock()`, simulations and tests their own.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Monotonic: never jumps, not comparable between machines.
  virtual TimePoint now() const = 0;
  /// Wall time, which may jump.
  virtual WallTime wall() const = 0;
};

/// The machine's clocks. The only place that asks them.
Clock& system_clock();

/// Where chance comes from. Not thread-safe: confined to whoever owns it.
class Random {
 public:
  virtual ~Random() = default;
  /// 64 uniformly random bits.
  virtual std::uint64_t next() = 0;
  /// Uniform in [0, 1).
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  /// Uniform in [0, bound); 0 if bound is 0.
  std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : next() % bound; }
};

/// xoshiro256** (Blackman and Vigna, 2018) seeded by splitmix64: the same seed gives the same sequence
/// everywhere.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed);
  std::uint64_t next() override;

 private:
  std::uint64_t state_[4];
};

/// 64 random bits from the kernel: no two alike, not even in a forked child. Throws std::runtime_error if it
/// gives none. Thread-safe.
std::uint64_t entropy();

}  // namespace serverledge
