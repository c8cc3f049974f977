#include "serverledge/net/address_ranges.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>

namespace serverledge {
namespace {

using Bytes = std::array<std::uint8_t, 16>;
constexpr int kMappedBits = 96;  // of ::ffff:0:0/96

struct Address {
  Bytes bytes{};
  bool v4 = false;
};

/// As IPv6, IPv4 mapped into it.
std::optional<Address> address_of(std::string_view text) {
  const std::string terminated(text);
  Address address;
  if (::inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) return address;
  in_addr v4{};
  if (::inet_pton(AF_INET, terminated.c_str(), &v4) != 1) return std::nullopt;
  address.bytes[10] = address.bytes[11] = 0xff;
  std::memcpy(address.bytes.data() + 12, &v4, sizeof(v4));
  address.v4 = true;
  return address;
}

void clear_after(Bytes& bytes, int bits) {
  for (int bit = bits; bit < 128; ++bit) {
    bytes[static_cast<std::size_t>(bit / 8)] &= static_cast<std::uint8_t>(~(0x80U >> (bit % 8)));
  }
}

}  // namespace

Result<void> AddressRanges::add(std::string_view network) {
  const std::size_t slash = network.find('/');
  const std::optional<Address> address = address_of(network.substr(0, slash));
  const int most = address && address->v4 ? 32 : 128;
  int bits = most;
  bool good = address.has_value();
  if (good && slash != std::string_view::npos) {
    const std::string_view digits = network.substr(slash + 1);
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    good = failed == std::errc() && end == digits.data() + digits.size() && bits >= 0 && bits <= most;
  }
  if (!good) return Unexpected(ErrorCode::kInvalid, fmt::format("\"{:.60}\" is no network", network));
  Range range{address->bytes, address->v4 ? kMappedBits + bits : bits};
  clear_after(range.first, range.bits);
  const std::scoped_lock lock(mutex_);
  if (std::ranges::find(ranges_, range) == ranges_.end()) ranges_.push_back(range);
  return {};
}

bool AddressRanges::contains(std::string_view address) const {
  const std::optional<Address> parsed = address_of(address);
  if (!parsed) return false;
  const std::scoped_lock lock(mutex_);
  return std::ranges::any_of(ranges_, [&](const Range& range) {
    Bytes first = parsed->bytes;
    clear_after(first, range.bits);
    return first == range.first;
  });
}

}  // namespace serverledge
