#include "serverledge/core/request_id.hpp"

#include <algorithm>
#include <cstdint>

#include "serverledge/core/clock.hpp"

namespace serverledge {
namespace {

constexpr std::size_t kTagSize = 5;

bool needs_no_escaping(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
         c == '_';
}

}  // namespace

std::string request_tag(std::string_view area, std::string_view node_key) {
  std::string tag = "(";
  tag.append(area).append(")").append(node_key);
  tag.erase(0, tag.size() - std::min(kTagSize, tag.size()));
  std::erase_if(tag, [](char c) { return !needs_no_escaping(c); });
  return tag;
}

bool may_be_from(std::string_view request_id, std::string_view tag) {
  if (tag.empty()) return false;
  const std::size_t at = request_id.rfind(std::string("-").append(tag));
  return at != std::string_view::npos && at + 1 + tag.size() < request_id.size();
}

void append_random_digits(std::string& id) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::uint64_t bits = entropy();
  for (int digit = 0; digit < 16; ++digit, bits >>= 4) id.push_back(kDigits[bits & 15]);
}

}  // namespace serverledge
