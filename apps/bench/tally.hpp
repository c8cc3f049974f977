#pragma once

#include <atomic>

#include "connection.hpp"
#include "load.hpp"

namespace serverledge::bench {

/// What one thread has seen. Confined to it, but for the counters, which others may read.
class Tally {
 public:
  explicit Tally(std::size_t targets) { outcome_.targets.resize(targets); }

  /// A call has ended: the connection has its answer, or why there is none.
  void add(std::size_t target, const Connection& connection, TimePoint started, TimePoint now);
  /// A call has ended without having been sent.
  void add_error(std::size_t target, const char* error, TimePoint started, TimePoint now);
  Outcome& outcome() { return outcome_; }

  /// Adds what this one has seen to `all`; `first` and `last` become the earliest start and the latest end.
  void merge_into(Outcome& all, TimePoint& first, TimePoint& last) const;

  /// Of all calls, also those of the warm-up. Written by one thread.
  struct Counters {
    std::atomic<std::uint64_t> begun{0};
    std::atomic<std::uint64_t> ended{0};
    std::atomic<std::uint64_t> failed{0};
    std::atomic<std::uint64_t> nanoseconds{0};  ///< of those that did not fail
  };
  const Counters& counters() const { return counters_; }
  void count_begin() { raise(counters_.begun, 1); }
  void count_end(bool failed, Duration took);

 private:
  static void raise(std::atomic<std::uint64_t>& counter, std::uint64_t by) {
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }

  Outcome outcome_;
  TimePoint first_ = TimePoint::max();
  TimePoint last_{};
  alignas(64) Counters counters_;
};

}  // namespace serverledge::bench
