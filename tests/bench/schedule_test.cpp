// What an open loop, and a choice among functions, are made of.
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "arrivals.hpp"
#include "plot.hpp"
#include "targets.hpp"

namespace serverledge::bench {
namespace {

// How often each of the targets is drawn.
std::vector<double> shares(const std::vector<Target>& targets, std::uint64_t seed) {
  constexpr int kDraws = 100000;
  Choice choice(targets, seed);
  std::vector<double> drawn(targets.size());
  for (int i = 0; i < kDraws; ++i) drawn[choice.next()] += 1.0 / kDraws;
  return drawn;
}

}  // namespace

TEST_CASE("constant arrivals come at even intervals that do not drift", "[bench]") {
  const TimePoint begin(std::chrono::seconds(5));
  Arrivals arrivals(Spacing::kConstant, 3, begin, 1);
  CHECK(arrivals.next() == begin);
  for (int i = 0; i < 3000000; ++i) arrivals.advance();
  CHECK(std::abs(seconds(arrivals.next() - begin) - 1000000) < 1e-6);
}

TEST_CASE("Poisson arrivals have exponential intervals of the right mean", "[bench]") {
  constexpr int kCount = 200000;
  constexpr double kRate = 250;
  const TimePoint begin(std::chrono::seconds(5));
  Arrivals arrivals(Spacing::kPoisson, kRate, begin, 42);
  TimePoint before = begin;
  double sum = 0;
  double squares = 0;
  int long_ones = 0;
  for (int i = 0; i < kCount; ++i) {
    REQUIRE(arrivals.next() >= before);
    const double interval = seconds(arrivals.next() - before) * kRate;  // in units of the mean
    before = arrivals.next();
    arrivals.advance();
    sum += interval;
    squares += interval * interval;
    if (interval > 1) ++long_ones;
  }
  // Within five standard errors; the seed is fixed, so that it passes always or never.
  CHECK(sum / kCount == Approx(1).margin(5 / std::sqrt(kCount)));
  CHECK(squares / kCount == Approx(2).margin(5 * std::sqrt(20.0 / kCount)));
  CHECK(double(long_ones) / kCount == Approx(std::exp(-1)).margin(5 * 0.5 / std::sqrt(kCount)));
}

TEST_CASE("the same seed gives the same arrivals, another one others", "[bench]") {
  Arrivals one(Spacing::kPoisson, 10, {}, 1);
  Arrivals same(Spacing::kPoisson, 10, {}, 1);
  Arrivals other(Spacing::kPoisson, 10, {}, 2);
  for (int i = 0; i < 100; ++i, one.advance(), same.advance(), other.advance()) {
    REQUIRE(one.next() == same.next());
    REQUIRE(one.next() != other.next());
  }
}

TEST_CASE("functions are drawn by their weights", "[bench]") {
  const auto weighted = parse_targets({"a:2.5", "b", "c:1.5"}, 0);
  REQUIRE(weighted);
  CHECK(weighted->at(0).name == "a");
  auto drawn = shares(*weighted, 3);
  CHECK(drawn[0] == Approx(0.5).margin(0.01));
  CHECK(drawn[1] == Approx(0.2).margin(0.01));
  CHECK(drawn[2] == Approx(0.3).margin(0.01));
  const auto zipf = parse_targets({"a", "b", "c"}, 1);
  REQUIRE(zipf);
  drawn = shares(*zipf, 4);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(drawn[i] == Approx(6.0 / 11 / static_cast<double>(i + 1)).margin(0.01));
  }
}

TEST_CASE("functions that make no sense are refused by name", "[bench]") {
  for (const char* text :
       {"", ":1", "a:", "a:-1", "a:0", "a:nan", "a:inf", "a:1x", "a:1:2", "a/b", "a?b", "a b"}) {
    const auto targets = parse_targets({"good", text}, 0);
    CAPTURE(text);
    REQUIRE_FALSE(targets);
    CHECK_THAT(targets.error().message, Catch::Contains(text));
  }
  CHECK_FALSE(parse_targets({"a", "a"}, 0));
  CHECK_FALSE(parse_targets({"a:2", "b"}, 1.5));
}

TEST_CASE("a plot escapes its title, and stays within its frame", "[bench]") {
  Outcome outcome;
  SeededRandom random(9);
  for (int i = 0; i < 5000; ++i) outcome.latency.record(random.next() >> random.below(60));
  outcome.latency.record(0);
  outcome.cold_latency.record(1000000);
  outcome.warm = 5000;
  outcome.cold = 1;
  const auto svg = latency_plot("a<b>&\x01", outcome);
  CHECK_THAT(svg, Catch::Contains("<title>a&lt;b&gt;&amp; </title>") && Catch::Contains("class=\"cold\""));
  CHECK(svg.find('\x01') == std::string::npos);
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg.find("inf") == std::string::npos);
  CHECK(svg.find("\"-") == std::string::npos);  // no coordinate left of the picture or above it
  CHECK_THAT(latency_plot("nothing", Outcome()), Catch::Contains("no call succeeded"));
}

}  // namespace serverledge::bench
