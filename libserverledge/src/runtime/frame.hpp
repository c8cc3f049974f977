#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/container_runtime.hpp"
#include "serverledge/core/invocation.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

class JsonWriter;

/// What travels between the node and a worker: a header and a payload. The workers (apps/runtimes) describe
/// each type.
enum class FrameType : std::uint8_t { kCall = 1, kReady, kResult, kFailure, kStartFailed, kLoad };

inline constexpr std::size_t kFrameHeaderSize = 16;
/// Of a call: capture what the function prints. Of an answer: the captured output was cut at the limit.
inline constexpr std::uint8_t kFrameFlag = 1;

struct FrameHeader {
  std::uint32_t length = 0;  ///< bytes of the payload
  FrameType type = FrameType::kCall;
  std::uint8_t flags = 0;
  std::uint64_t id = 0;  ///< of the call; 0 for what belongs to none
  bool operator==(const FrameHeader&) const = default;
};

/// The 16 bytes of a header.
std::array<char, kFrameHeaderSize> encode(const FrameHeader& header);
/// Reads the 16 bytes of a header; kInvalid for an unknown type, unknown flags or a reserved field that is
/// not 0.
Result<FrameHeader> decode_frame_header(std::string_view bytes);

/// How much an instance may answer.
struct FrameLimits {
  std::size_t result_bytes = std::size_t{6} << 20U;  ///< JSON text of a result
  std::size_t output_bytes = std::size_t{1} << 20U;  ///< captured output
};
/// The longest payload that can be within the limits.
std::size_t max_payload(const FrameLimits& limits);

/// Nesting of a result; the workers keep to the same bound.
inline constexpr std::size_t kMaxResultDepth = 512;

/// The answer to one call.
struct CallAnswer {
  std::string result;              ///< one JSON text in valid UTF-8; empty when it failed
  std::optional<Failure> failure;  ///< kRaised or kOutput
  std::string output;              ///< valid UTF-8; empty unless it was asked for
  bool output_cut = false;         ///< the function printed more than the limit
};

/// Reads an answer to a call. The bytes come from a function's process: kInvalid for whatever is not exactly
/// an answer within the limits.
Result<CallAnswer> parse_answer(const FrameHeader& header, std::string_view payload, bool capture_output,
                                const FrameLimits& limits);

/// What the caller is told of an answer.
Reply to_reply(CallAnswer answer, const FrameLimits& limits);

/// Begins a JSON object of what a handler is told of its call.
void begin_context(JsonWriter& json, std::string_view function, std::int64_t memory_mb, const Call& call,
                   TimePoint now);
/// The whole of it, with what executors of others are not told.
std::string call_context(std::string_view function, std::int64_t memory_mb, const Call& call, TimePoint now);

/// Reads the first frame of a connection: what serves it ("CPython 3.11.2"). kFunctionFailed with the
/// traceback as detail if the handler did not load, kInvalid for whatever is no such frame.
Result<std::string> parse_ready(const FrameHeader& header, std::string_view payload);

}  // namespace serverledge
