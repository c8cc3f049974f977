#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// A set of IP networks. An IPv4 address and the same one written as IPv6 (::ffff:192.0.2.1) are one.
/// Thread-safe.
class AddressRanges {
 public:
  /// Adds a network in CIDR notation ("172.18.0.0/16", "fd00:1::/64") or one address. kInvalid if it is
  /// neither.
  Result<void> add(std::string_view network);
  /// Whether an address in digits lies in one of them; false for anything else.
  bool contains(std::string_view address) const;

 private:
  using Bytes = std::array<std::uint8_t, 16>;
  struct Range {
    Bytes first{};
    int bits = 0;  // that count
    bool operator==(const Range&) const = default;
  };
  mutable std::mutex mutex_;
  std::vector<Range> ranges_;
};

}  // namespace serverledge
