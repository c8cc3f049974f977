#include "serverledge/core/clock.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace serverledge {

Duration from_seconds(double seconds) {
  constexpr double kLimit = 100.0 * 365 * 86400;
  if (std::isnan(seconds)) return Duration::zero();
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(std::clamp(seconds, -kLimit, kLimit)));
}

TimePoint later(TimePoint at, Duration duration) {
  if (duration > Duration::zero() && at > TimePoint::max() - duration) return TimePoint::max();
  if (duration < Duration::zero() && at < TimePoint::min() - duration) return TimePoint::min();
  return at + duration;
}

namespace {

class SystemClock final : public Clock {
 public:
  TimePoint now() const override { return std::chrono::steady_clock::now(); }
  WallTime wall() const override { return std::chrono::system_clock::now(); }
};

std::uint64_t rotate_left(std::uint64_t value, int by) { return (value << by) | (value >> (64 - by)); }

}  // namespace

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

SeededRandom::SeededRandom(std::uint64_t seed) {
  for (std::uint64_t& word : state_) {
    seed += 0x9e3779b97f4a7c15ULL;
    std::uint64_t mixed = seed;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
    word = mixed ^ (mixed >> 31);
  }
}

std::uint64_t SeededRandom::next() {
  const std::uint64_t result = rotate_left(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = rotate_left(state_[3], 45);
  return result;
}

std::uint64_t entropy() {
  // Asked of the kernel each time: numbers kept ready in the process would be a forked child's too.
  std::uint64_t number = 0;
  if (getentropy(&number, sizeof number) != 0) throw std::runtime_error("the kernel gives no random numbers");
  return number;
}

}  // namespace serverledge
