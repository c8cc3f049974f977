#include "serverledge/cluster/vivaldi.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace serverledge {
namespace {

constexpr double kErrorMax = 1.5;
constexpr double kErrorWeight = 0.25;  // CE
constexpr double kForceWeight = 0.25;  // CC
constexpr double kHeightMin = 1e-5;
constexpr double kGravityRho = 150;
constexpr double kNothing = 1e-6;
constexpr Duration kLongest = std::chrono::seconds(10);

using Vector = std::array<double, 3>;

Vector difference(const Vector& a, const Vector& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }

double magnitude(const Vector& v) { return std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]); }

/// Without the adjustments.
double raw_distance(const Coordinates& a, const Coordinates& b) {
  return magnitude(difference(a.vec, b.vec)) + a.height + b.height;
}

double distance_in_seconds(const Coordinates& a, const Coordinates& b) {
  const double raw = raw_distance(a, b);
  const double adjusted = raw + a.adjustment + b.adjustment;
  return adjusted > 0 ? adjusted : raw;
}

bool is_finite(const Coordinates& at) {
  return std::all_of(at.vec.begin(), at.vec.end(), [](double x) { return std::isfinite(x); }) &&
         std::isfinite(at.error) && std::isfinite(at.adjustment) && std::isfinite(at.height);
}

}  // namespace

Duration distance(const Coordinates& a, const Coordinates& b) {
  return from_seconds(distance_in_seconds(a, b));
}

Duration LatencyFilter::add(Duration round_trip) {
  samples_[count_++ % samples_.size()] = round_trip;
  return median();
}

Duration LatencyFilter::median() const {
  const std::size_t known = std::min(count_, samples_.size());
  if (known == 0) return Duration::zero();
  auto sorted = samples_;
  std::sort(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(known));
  return sorted[known / 2];
}

bool Vivaldi::update(const Coordinates& other, Duration round_trip) {
  if (round_trip <= Duration::zero() || round_trip > kLongest || !is_finite(other)) return false;
  const double rtt = std::max(seconds(round_trip), kNothing);
  const double expected = distance_in_seconds(self_, other);
  const double wrongness = std::abs(expected - rtt) / rtt;
  const double weight = self_.error / std::max(self_.error + other.error, kNothing);
  self_.error =
      std::min(kErrorWeight * weight * wrongness + self_.error * (1 - kErrorWeight * weight), kErrorMax);
  apply_force(kForceWeight * weight * (rtt - expected), other);

  adjustments_[next_adjustment_++ % kAdjustmentWindow] = rtt - raw_distance(self_, other);
  self_.adjustment =
      std::accumulate(adjustments_.begin(), adjustments_.end(), 0.0) / (2.0 * kAdjustmentWindow);

  const Coordinates origin;
  apply_force(-std::pow(distance_in_seconds(origin, self_) / kGravityRho, 2), origin);
  if (!is_finite(self_)) self_ = Coordinates();
  return true;
}

/// Moves away from the other one (towards it if negative).
void Vivaldi::apply_force(double force, const Coordinates& other) {
  Vector unit = difference(self_.vec, other.vec);
  const double length = magnitude(unit);
  if (length > kNothing) {
    for (double& component : unit) component /= length;
  } else {
    unit = random_direction();
  }
  for (std::size_t i = 0; i < unit.size(); ++i) self_.vec[i] += unit[i] * force;
  if (length > kNothing) {
    self_.height = std::max((self_.height + other.height) * force / length + self_.height, kHeightMin);
  }
}

Vector Vivaldi::random_direction() {
  Vector direction{};
  double length = 0;
  while (length <= kNothing) {
    for (double& component : direction) component = random_.uniform() - 0.5;
    length = magnitude(direction);
  }
  for (double& component : direction) component /= length;
  return direction;
}

}  // namespace serverledge
