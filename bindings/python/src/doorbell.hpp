#pragma once

#include <atomic>
#include <cstdint>

#include "serverledge/core/clock.hpp"

namespace serverledge::python {

/// Wakes the one thread that waits for something. Not for its sake but for what it costs: half of what a
/// condition variable does, where being woken is most of the time that a policy takes. Whoever was woken
/// looks for itself what has happened. `ring` is thread-safe; one thread at a time may wait.
class Doorbell {
 public:
  void ring();
  /// Sleeps until it has been rung since the last `wait`; false at the deadline. TimePoint::max(): none.
  bool wait(TimePoint deadline = TimePoint::max());

 private:
  enum : std::uint32_t { kQuiet, kRung, kAwaited };
  std::atomic<std::uint32_t> state_{kQuiet};
};

}  // namespace serverledge::python
