#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace serverledge {

/// A `traceparent` of W3C Trace Context: which trace, which span of it, and whether the trace is recorded. A
/// value.
struct TraceParent {
  std::array<std::uint64_t, 2> trace{};  ///< id of the trace, the first half first; not zero
  std::uint64_t span = 0;                ///< id of the span that calls; not zero
  bool sampled = true;                   ///< whether the caller records it
  bool operator==(const TraceParent&) const = default;
};

/// Reads a header's value, of version 00 or a later one; nullopt if it is none, which is to be ignored.
std::optional<TraceParent> parse_traceparent(std::string_view text);
/// The header's value, of version 00.
std::string to_string(const TraceParent& parent);
/// 16 lower-case hex digits, the form of ids on the wire.
std::string hex(std::uint64_t id);

/// The longest `tracestate` that is passed on, bytes.
inline constexpr std::size_t kTraceStateMax = 512;

}  // namespace serverledge
