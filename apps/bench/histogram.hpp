#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace serverledge::bench {

/// Counts of durations in nanoseconds, log-linear: each power of two is cut into 128 equal buckets, so that a
/// quantile is off by less than 1 % whatever its size, and recording costs a few instructions.
/// Thread-compatible: one per thread, merged at the end.
class Histogram {
 public:
  void record(std::uint64_t nanoseconds);
  void merge(const Histogram& other);

  std::uint64_t count() const { return count_; }
  std::uint64_t minimum() const { return count_ == 0 ? 0 : minimum_; }
  std::uint64_t maximum() const { return maximum_; }
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }
  /// The value that the share `quantile` (0 to 1) of all does not exceed; 0 if there is none.
  std::uint64_t value_at(double quantile) const;

  /// A value, and how many do not exceed it.
  struct Step {
    std::uint64_t value;
    std::uint64_t count;
  };
  /// The distribution, from the least value to the greatest.
  std::vector<Step> steps() const;

 private:
  static constexpr unsigned kBits = 7;
  static constexpr std::size_t kLinear = std::size_t{1} << kBits;
  static std::size_t bucket_of(std::uint64_t value);
  static std::uint64_t highest_in(std::size_t bucket);

  std::array<std::uint64_t, kLinear*(64 - kBits + 1)> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t minimum_ = UINT64_MAX;
  std::uint64_t maximum_ = 0;
  double sum_ = 0;
};

}  // namespace serverledge::bench
