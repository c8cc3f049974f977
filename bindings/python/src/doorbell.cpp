#include "doorbell.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace serverledge::python {
namespace {

static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

/// Sleeps while the word has that value; false at the deadline.
bool sleep_while(std::atomic<std::uint32_t>& word, std::uint32_t value, TimePoint deadline) {
  using std::chrono::duration_cast;
  const auto at = deadline.time_since_epoch();  // which steady_clock counts as the kernel does
  const auto whole = duration_cast<std::chrono::seconds>(at);
  const timespec until{
      .tv_sec = static_cast<std::time_t>(whole.count()),
      .tv_nsec = static_cast<long>(duration_cast<std::chrono::nanoseconds>(at - whole).count())};
  const timespec* limit = deadline == TimePoint::max() ? nullptr : &until;
  return ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, value, limit, nullptr,
                   FUTEX_BITSET_MATCH_ANY) == 0 ||
         errno != ETIMEDOUT;
}

}  // namespace

void Doorbell::ring() {
  if (state_.exchange(kRung) == kAwaited)
    ::syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

bool Doorbell::wait(TimePoint deadline) {
  bool in_time = true;
  while (true) {
    std::uint32_t seen = kQuiet;
    state_.compare_exchange_strong(seen, kAwaited);
    if (seen == kRung || !in_time) return state_.exchange(kQuiet) == kRung;
    in_time = sleep_while(state_, kAwaited, deadline);
  }
}

}  // namespace serverledge::python
