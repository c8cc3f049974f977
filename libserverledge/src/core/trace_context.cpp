#include "serverledge/core/trace_context.hpp"

#include <algorithm>

namespace serverledge {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";
constexpr std::size_t kLength = 55;  // 00-<32>-<16>-<2>

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return kDigits.find(c) != std::string_view::npos; });
}

std::uint64_t number(std::string_view digits) {
  std::uint64_t value = 0;
  for (const char digit : digits) value = value << 4U | kDigits.find(digit);
  return value;
}

}  // namespace

std::optional<TraceParent> parse_traceparent(std::string_view text) {
  if (text.size() < kLength || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  const std::string_view version = text.substr(0, 2);
  const std::string_view flags = text.substr(53, 2);
  if (!is_hex(version) || version == "ff" || !is_hex(text.substr(3, 32)) || !is_hex(text.substr(36, 16)) ||
      !is_hex(flags)) {
    return std::nullopt;
  }
  // Later versions may go on behind a dash.
  if (text.size() > kLength && (version == "00" || text[kLength] != '-')) return std::nullopt;
  const TraceParent parent{{number(text.substr(3, 16)), number(text.substr(19, 16))},
                           number(text.substr(36, 16)),
                           (number(flags) & 1U) != 0};
  if ((parent.trace[0] == 0 && parent.trace[1] == 0) || parent.span == 0) return std::nullopt;
  return parent;
}

std::string hex(std::uint64_t id) {
  std::string digits(16, '0');
  for (std::size_t at = digits.size(); at > 0; id >>= 4U) digits[--at] = kDigits[id & 15U];
  return digits;
}

std::string to_string(const TraceParent& parent) {
  std::string text = "00-";
  text.reserve(kLength);
  text.append(hex(parent.trace[0])).append(hex(parent.trace[1])).push_back('-');
  return text.append(hex(parent.span)).append(parent.sampled ? "-01" : "-00");
}

}  // namespace serverledge
