#include "histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace serverledge::bench {

// Values below kLinear have a bucket each. Above, the highest bit says which group of kLinear buckets, and
// the kBits bits after it which of them.
std::size_t Histogram::bucket_of(std::uint64_t value) {
  if (value < kLinear) return value;
  const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - 1 - kBits;
  return (shift + 1) * kLinear + ((value >> shift) - kLinear);
}

std::uint64_t Histogram::highest_in(std::size_t bucket) {
  if (bucket < kLinear) return bucket;
  const unsigned shift = static_cast<unsigned>(bucket / kLinear) - 1;
  const std::uint64_t first = (kLinear + bucket % kLinear) << shift;
  return first + ((std::uint64_t{1} << shift) - 1);
}

void Histogram::record(std::uint64_t nanoseconds) {
  ++buckets_[bucket_of(nanoseconds)];
  ++count_;
  sum_ += static_cast<double>(nanoseconds);
  minimum_ = std::min(minimum_, nanoseconds);
  maximum_ = std::max(maximum_, nanoseconds);
}

void Histogram::merge(const Histogram& other) {
  for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  minimum_ = std::min(minimum_, other.minimum_);
  maximum_ = std::max(maximum_, other.maximum_);
}

std::uint64_t Histogram::value_at(double quantile) const {
  if (count_ == 0) return 0;
  const double exact = std::ceil(quantile * static_cast<double>(count_));
  const auto rank = static_cast<std::uint64_t>(std::clamp(exact, 1.0, static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    seen += buckets_[bucket];
    if (seen >= rank) return std::clamp(highest_in(bucket), minimum_, maximum_);
  }
  return maximum_;
}

std::vector<Histogram::Step> Histogram::steps() const {
  std::vector<Step> steps;
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    if (buckets_[bucket] == 0) continue;
    seen += buckets_[bucket];
    steps.push_back({std::clamp(highest_in(bucket), minimum_, maximum_), seen});
  }
  return steps;
}

}  // namespace serverledge::bench
