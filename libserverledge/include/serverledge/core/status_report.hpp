#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "serverledge/core/peer_snapshot.hpp"
#include "serverledge/core/resources.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// Where a node stands in the space of Vivaldi (Dabek et al., SIGCOMM 2004), in which distances are round
/// trips in seconds. Begins at the origin with the largest error.
struct Coordinates {
  std::array<double, 3> vec{};
  double error = 1.5;
  double adjustment = 0;
  double height = 1e-5;
  bool operator==(const Coordinates&) const = default;
};

/// What a node tells of itself: the object of `/status`, and of the answers of the status exchange.
struct StatusReport {
  WarmContainers warm_containers;
  Resources total;
  Resources available;           ///< total less busy
  std::int64_t free_memory = 0;  ///< MB that no container holds
  Coordinates coordinates;
  std::optional<std::array<double, 3>> load_average;  ///< 1, 5, 15 minutes; absent in the exchange
  std::int64_t last_update = 0;                       ///< seconds since 1970; 0 in the exchange
};

/// The object, without newline.
std::string to_json(const StatusReport& report);
/// The same in at most `most` bytes for the exchange: without load averages and time, and only as many of the
/// functions with idle containers as fit, those with most of them first.
std::string to_datagram(const StatusReport& report, std::size_t most = 1024);
/// Reads such an object back, also one of the Go implementation: members that are absent are zero, amounts
/// that make no sense are clamped. kInvalid if it is none.
Result<StatusReport> status_from_json(std::string_view json);

}  // namespace serverledge
