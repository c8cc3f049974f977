#include "histogram.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "serverledge/core/clock.hpp"

namespace serverledge::bench {
namespace {

// The exact quantile, as the histogram defines it: the smallest value that the share does not exceed.
std::uint64_t exact(const std::vector<std::uint64_t>& sorted, double quantile) {
  const auto rank = static_cast<std::size_t>(std::ceil(quantile * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

}  // namespace

TEST_CASE("an empty histogram says zero", "[bench]") {
  const Histogram histogram;
  CHECK(histogram.count() == 0);
  CHECK(histogram.minimum() == 0);
  CHECK(histogram.maximum() == 0);
  CHECK(histogram.mean() == 0);
  CHECK(histogram.value_at(0.5) == 0);
}

TEST_CASE("small values and the extremes are exact", "[bench]") {
  Histogram histogram;
  for (std::uint64_t value = 0; value < 256; ++value) histogram.record(value);
  CHECK(histogram.value_at(0) == 0);
  CHECK(histogram.value_at(0.25) == 63);
  CHECK(histogram.value_at(0.5) == 127);
  CHECK(histogram.value_at(1) == 255);
  CHECK(histogram.mean() == 127.5);
  Histogram one;
  one.record(1234567891);
  for (const double quantile : {0.0, 0.5, 0.999, 1.0}) CHECK(one.value_at(quantile) == 1234567891);
  one.record(UINT64_MAX);
  CHECK(one.maximum() == UINT64_MAX);
  CHECK(one.value_at(1) == UINT64_MAX);
}

TEST_CASE("quantiles of any size are off by less than one percent, and never too low", "[bench]") {
  SeededRandom random(7);
  Histogram histogram;
  std::vector<std::uint64_t> values;
  for (int i = 0; i < 20000; ++i) {
    values.push_back(random.next() >> random.below(60));
    histogram.record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double quantile : {0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0}) {
    const auto expected = static_cast<double>(exact(values, quantile));
    const auto found = static_cast<double>(histogram.value_at(quantile));
    CAPTURE(quantile);
    CHECK(found >= expected);
    CHECK(found <= expected * 1.01);
  }
}

TEST_CASE("merged histograms say what one of all values says", "[bench]") {
  SeededRandom random(11);
  Histogram all;
  Histogram parts[3];
  for (int i = 0; i < 9000; ++i) {
    const std::uint64_t value = random.below(50000000);
    all.record(value);
    parts[i % 3].record(value);
  }
  Histogram merged;
  for (const auto& part : parts) merged.merge(part);
  CHECK(merged.count() == all.count());
  CHECK(merged.minimum() == all.minimum());
  CHECK(merged.maximum() == all.maximum());
  CHECK(merged.mean() == Approx(all.mean()));
  for (const double quantile : {0.5, 0.9, 0.99}) CHECK(merged.value_at(quantile) == all.value_at(quantile));
}

}  // namespace serverledge::bench
