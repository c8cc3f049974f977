#include "runtime/frame.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

// The workers cut messages and tracebacks well below this, also when every character is escaped.
constexpr std::size_t kMaxFailure = std::size_t{2} << 20U;
constexpr std::size_t kLengthSize = 4;

template <typename T>
void put(char* to, T value) {
  for (std::size_t byte = 0; byte < sizeof(T); ++byte) to[byte] = static_cast<char>(value >> (8 * byte));
}

template <typename T>
T take(const char* from) {
  T value = 0;
  for (std::size_t byte = 0; byte < sizeof(T); ++byte) {
    value |= static_cast<T>(static_cast<T>(static_cast<unsigned char>(from[byte])) << (8 * byte));
  }
  return value;
}

Unexpected broken(std::string message) { return {ErrorCode::kInvalid, std::move(message)}; }

// A string member of an object; nullopt if it is missing or something else.
std::optional<std::string_view> member(const JsonDocument& document, std::string_view name) {
  const std::optional<JsonValue> value = document.root().find(name);
  return value ? value->as_string() : std::nullopt;
}

Result<Failure> parse_failure(std::string_view body) {
  const Result<JsonDocument> document = JsonDocument::parse(body);
  if (!document) return broken("a failure that is not JSON: " + document.error().message);
  const auto kind = member(*document, "Kind");
  const auto message = member(*document, "Message");
  const auto traceback = member(*document, "Traceback");
  if (!kind || !message || !traceback) return broken("a failure without Kind, Message or Traceback");
  if (*kind != "raised" && *kind != "output") return broken("a failure of a kind that no worker reports");
  const FailureKind known = *kind == "raised" ? FailureKind::kRaised : FailureKind::kOutput;
  return Failure{known, std::string(*message), std::string(*traceback)};
}

}  // namespace

std::array<char, kFrameHeaderSize> encode(const FrameHeader& header) {
  std::array<char, kFrameHeaderSize> bytes{};
  put(bytes.data(), header.length);
  put(bytes.data() + 4, static_cast<std::uint8_t>(header.type));
  put(bytes.data() + 5, header.flags);
  put(bytes.data() + 8, header.id);
  return bytes;
}

Result<FrameHeader> decode_frame_header(std::string_view bytes) {
  if (bytes.size() != kFrameHeaderSize) return broken("a header that is not whole");
  const auto type = take<std::uint8_t>(bytes.data() + 4);
  const auto flags = take<std::uint8_t>(bytes.data() + 5);
  if (type < static_cast<std::uint8_t>(FrameType::kCall) ||
      type > static_cast<std::uint8_t>(FrameType::kLoad)) {
    return broken(fmt::format("a frame of the unknown type {}", type));
  }
  if ((flags & ~kFrameFlag) != 0) return broken(fmt::format("a frame with the unknown flags {:#x}", flags));
  if (take<std::uint16_t>(bytes.data() + 6) != 0) return broken("a frame whose reserved field is not 0");
  return FrameHeader{take<std::uint32_t>(bytes.data()), static_cast<FrameType>(type), flags,
                     take<std::uint64_t>(bytes.data() + 8)};
}

std::size_t max_payload(const FrameLimits& limits) {
  return kLengthSize + limits.output_bytes + std::max(limits.result_bytes, kMaxFailure);
}

Result<CallAnswer> parse_answer(const FrameHeader& header, std::string_view payload, bool capture_output,
                                const FrameLimits& limits) {
  if (header.type != FrameType::kResult && header.type != FrameType::kFailure) {
    return broken("a frame that is no answer");
  }
  if (payload.size() < kLengthSize) return broken("an answer that is too short");
  const std::size_t output_size = take<std::uint32_t>(payload.data());
  payload.remove_prefix(kLengthSize);
  if (output_size > payload.size()) return broken("an answer whose output is longer than itself");
  if (output_size > (capture_output ? limits.output_bytes : 0)) return broken("more output than allowed");
  CallAnswer answer;
  answer.output = to_utf8(payload.substr(0, output_size));
  answer.output_cut = (header.flags & kFrameFlag) != 0;
  const std::string_view body = payload.substr(output_size);
  if (header.type == FrameType::kFailure) {
    if (body.size() > kMaxFailure) return broken("a failure that is too long");
    Result<Failure> failure = parse_failure(body);
    if (!failure) return Unexpected(std::move(failure).error());
    answer.failure = std::move(*failure);
    return answer;
  }
  if (body.size() > limits.result_bytes) return broken("a result over the limit");
  if (const Result<void> checked = check_json(body, {.max_depth = kMaxResultDepth}); !checked) {
    return broken("a result that is not JSON: " + checked.error().message);
  }
  answer.result = body;
  return answer;
}

Reply to_reply(CallAnswer answer, const FrameLimits& limits) {
  Reply reply;
  reply.result = std::move(answer.result);
  reply.failure = std::move(answer.failure);
  reply.output = std::move(answer.output);
  if (answer.output_cut) reply.output += fmt::format("\n[output cut at {} bytes]\n", limits.output_bytes);
  return reply;
}

void begin_context(JsonWriter& json, std::string_view function, std::int64_t memory_mb, const Call& call,
                   TimePoint now) {
  json.begin_object().key("RequestId").string(call.id).key("Function").string(function);
  if (call.deadline != TimePoint::max()) json.key("Deadline").number(seconds(call.deadline - now));
  json.key("MemoryMB").integer(memory_mb).key("Traceparent").string(call.traceparent);
}

std::string call_context(std::string_view function, std::int64_t memory_mb, const Call& call, TimePoint now) {
  std::string text;
  JsonWriter json(text);
  begin_context(json, function, memory_mb, call, now);
  json.key("Tracestate").string(call.tracestate).end_object();
  return text;
}

Result<std::string> parse_ready(const FrameHeader& header, std::string_view payload) {
  if (header.id != 0 || (header.type != FrameType::kReady && header.type != FrameType::kStartFailed)) {
    return broken("a frame before ready");
  }
  const Result<JsonDocument> document = JsonDocument::parse(payload);
  if (!document) return broken("a start that is not JSON: " + document.error().message);
  if (header.type == FrameType::kReady) {
    const auto runtime = member(*document, "Runtime");
    if (!runtime) return broken("ready without Runtime");
    return std::string(*runtime);
  }
  const auto message = member(*document, "Message");
  const auto traceback = member(*document, "Traceback");
  if (!message || !traceback) return broken("a failed start without Message or Traceback");
  return Unexpected(ErrorCode::kFunctionFailed, std::string(*message), std::string(*traceback));
}

}  // namespace serverledge
