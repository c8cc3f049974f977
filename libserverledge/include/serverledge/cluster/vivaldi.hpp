#pragma once

#include <array>
#include <cstddef>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/status_report.hpp"

namespace serverledge {

/// The expected round trip between two nodes.
Duration distance(const Coordinates& a, const Coordinates& b);

/// The median of the last three round trips to one peer: a late thread must not move coordinates.
class LatencyFilter {
 public:
  /// Takes a sample and returns the median.
  Duration add(Duration round_trip);
  /// 0 before the first sample.
  Duration median() const;

 private:
  std::array<Duration, 3> samples_{};
  std::size_t count_ = 0;
};

/// Places this node in the network by its round trips to others: Vivaldi with heights, gravity and an
/// adjustment term, with the constants of the Go implementation. Not thread-safe.
class Vivaldi {
 public:
  /// `random` must outlive it.
  explicit Vivaldi(Random& random) : random_(random) {}
  /// Learns from one exchange with a peer that said it is there. `round_trip` is filtered by the caller, with
  /// one filter per peer. False (and nothing learnt) if it is not in (0, 10 s], or the coordinates are not
  /// finite.
  bool update(const Coordinates& other, Duration round_trip);
  const Coordinates& coordinates() const { return self_; }

 private:
  void apply_force(double force, const Coordinates& other);
  std::array<double, 3> random_direction();

  static constexpr std::size_t kAdjustmentWindow = 20;
  Random& random_;
  Coordinates self_;
  std::array<double, kAdjustmentWindow> adjustments_{};
  std::size_t next_adjustment_ = 0;
};

}  // namespace serverledge
