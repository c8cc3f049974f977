#include "serverledge/cluster/vivaldi.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace serverledge {
namespace {

using std::chrono::milliseconds;

/// Five nodes whose round trips, in ms, a plane can hold: two near each other, one beside them, two far away.
struct Network {
  static constexpr int kNodes = 5;
  static constexpr double kPlaces[kNodes][2] = {{0, 0}, {4, 3}, {30, 0}, {60, 80}, {63, 84}};

  explicit Network(std::uint64_t seed) : random(seed) {
    for (int i = 0; i < kNodes; ++i) nodes.emplace_back(random);
    filters.resize(kNodes, std::vector<LatencyFilter>(kNodes));
  }
  static double round_trip_ms(int a, int b) {
    return std::hypot(kPlaces[a][0] - kPlaces[b][0], kPlaces[a][1] - kPlaces[b][1]);
  }
  /// Every node asks every other one once.
  void round() {
    for (int a = 0; a < kNodes; ++a) {
      for (int b = 0; b < kNodes; ++b) {
        if (a == b) continue;
        const Duration measured = filters[a][b].add(from_seconds(round_trip_ms(a, b) / 1000));
        nodes[a].update(nodes[b].coordinates(), measured);
      }
    }
  }
  double estimate_ms(int a, int b) const {
    return seconds(distance(nodes[a].coordinates(), nodes[b].coordinates())) * 1000;
  }

  SeededRandom random;
  std::vector<Vivaldi> nodes;
  std::vector<std::vector<LatencyFilter>> filters;
};

TEST_CASE("Without noise every node finds its nearest peer, and distances come out right", "[vivaldi]") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Network network(seed);
    for (int i = 0; i < 500; ++i) network.round();
    double error = 0;
    for (int a = 0; a < Network::kNodes; ++a) {
      int nearest = -1, expected = -1;
      for (int b = 0; b < Network::kNodes; ++b) {
        if (a == b) continue;
        const double truth = Network::round_trip_ms(a, b);
        error +=
            std::abs(network.estimate_ms(a, b) - truth) / truth / (Network::kNodes * (Network::kNodes - 1));
        if (nearest < 0 || network.estimate_ms(a, b) < network.estimate_ms(a, nearest)) nearest = b;
        if (expected < 0 || truth < Network::round_trip_ms(a, expected)) expected = b;
      }
      CAPTURE(seed, a);
      CHECK(nearest == expected);
    }
    CAPTURE(seed);
    CHECK(error < 0.05);
  }
}

TEST_CASE("A single late answer moves nobody: each peer has a filter of its own", "[vivaldi]") {
  LatencyFilter filter;
  CHECK(filter.median() == Duration::zero());
  CHECK(filter.add(milliseconds(10)) == milliseconds(10));
  CHECK(filter.add(milliseconds(12)) == milliseconds(12));
  CHECK(filter.add(milliseconds(900)) == milliseconds(12));
  CHECK(filter.add(milliseconds(11)) == milliseconds(12));
  CHECK(filter.add(milliseconds(11)) == milliseconds(11));
}

TEST_CASE("One update is the one of the contract", "[vivaldi]") {
  SeededRandom random(1);
  Vivaldi node(random);
  Coordinates other;
  other.vec = {0.03, 0, 0};
  REQUIRE(node.update(other, milliseconds(50)));
  // e = 1.5 on both sides: w = 0.5. d = 0.03 + 2 * 1e-5, wrongness = |d - 0.05| / 0.05.
  const double wrongness = (0.05 - 0.03002) / 0.05;
  CHECK(node.coordinates().error == Approx(0.25 * 0.5 * wrongness + 1.5 * (1 - 0.25 * 0.5)));
  const double force = 0.25 * 0.5 * (0.05 - 0.03002);
  CHECK(node.coordinates().vec[0] == Approx(-force).epsilon(1e-6));
  const double height = 2e-5 * force / 0.03 + 1e-5;
  CHECK(node.coordinates().height == Approx(height));
  CHECK(node.coordinates().adjustment == Approx((0.05 - (0.03 + force + height + 1e-5)) / 40));
}

TEST_CASE("Two nodes at one place move apart, in a direction of chance", "[vivaldi]") {
  SeededRandom random(7);
  Vivaldi node(random);
  REQUIRE(node.update(Coordinates(), milliseconds(20)));
  CHECK(node.coordinates().vec != std::array<double, 3>{});
}

TEST_CASE("What cannot be is not learnt from", "[vivaldi]") {
  SeededRandom random(1);
  Vivaldi node(random);
  const Coordinates before = node.coordinates();
  CHECK_FALSE(node.update(Coordinates(), Duration::zero()));
  CHECK_FALSE(node.update(Coordinates(), milliseconds(-1)));
  CHECK_FALSE(node.update(Coordinates(), milliseconds(10'001)));
  Coordinates hostile;
  hostile.vec = {std::numeric_limits<double>::quiet_NaN(), 0, 0};
  CHECK_FALSE(node.update(hostile, milliseconds(5)));
  hostile = Coordinates();
  hostile.height = std::numeric_limits<double>::infinity();
  CHECK_FALSE(node.update(hostile, milliseconds(5)));
  CHECK(node.coordinates() == before);
  // Finite, and still too much: the node begins anew rather than stay nowhere.
  hostile = Coordinates();
  hostile.vec = {1e308, 1e308, 1e308};
  hostile.error = -1.5;
  node.update(hostile, milliseconds(5));
  CHECK(std::isfinite(node.coordinates().vec[0]));
  CHECK(std::isfinite(node.coordinates().height));
}

}  // namespace
}  // namespace serverledge
