#pragma once

#include <cstdint>

namespace serverledge {

/// An amount of a node's resources. Cores are counted in thousandths, so that sums are exact.
struct Resources {
  std::int64_t memory_mb = 0;
  std::int64_t millicores = 0;

  Resources& operator+=(const Resources& other) {
    memory_mb += other.memory_mb;
    millicores += other.millicores;
    return *this;
  }
  Resources& operator-=(const Resources& other) {
    memory_mb -= other.memory_mb;
    millicores -= other.millicores;
    return *this;
  }
  friend Resources operator+(Resources a, const Resources& b) { return a += b; }
  friend Resources operator-(Resources a, const Resources& b) { return a -= b; }
  bool operator==(const Resources&) const = default;
  /// Whether this much fits into `room`, in both dimensions.
  bool fits(const Resources& room) const {
    return memory_mb <= room.memory_mb && millicores <= room.millicores;
  }
  double cores() const { return static_cast<double>(millicores) / 1000.0; }
};

/// Thousandths of a core of a CPUDemand, rounded up so that a demand never becomes nothing.
constexpr std::int64_t to_millicores(double cores) {
  const double thousandths = cores * 1000.0;
  const auto whole = static_cast<std::int64_t>(thousandths);
  return static_cast<double>(whole) < thousandths ? whole + 1 : whole;
}

}  // namespace serverledge
