// Whatever a worker sends, the node takes an answer only if it is exactly the one awaited, and its result is
// JSON.
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "require.hpp"
#include "runtime/frame_connection.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/json.hpp"

namespace {

using namespace serverledge;

constexpr FrameLimits kLimits{.result_bytes = 1000, .output_bytes = 100};

void check_answer(const CallAnswer& answer, std::string_view bytes, bool capture) {
  REQUIRE(answer.failure ? answer.result.empty()
                         : check_json(answer.result, {.max_depth = kMaxResultDepth}).has_value());
  REQUIRE(answer.result.size() <= kLimits.result_bytes);
  REQUIRE(is_utf8(answer.output));
  REQUIRE(capture || answer.output.empty());
  const auto header = decode_frame_header(bytes.substr(0, kFrameHeaderSize));
  REQUIRE(header && header->id == 7 && header->length + kFrameHeaderSize == bytes.size());
  if (!answer.failure) REQUIRE(bytes.ends_with(answer.result));
}

}  // namespace

// The first byte says what is awaited, the rest is what comes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  FrameConnection connection(FileDescriptor(ends[0]), kLimits);
  const FileDescriptor worker(ends[1]);
  REQUIRE(bytes.empty() ||
          ::send(worker.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  REQUIRE(connection.clean() == bytes.empty());
  ::shutdown(worker.get(), SHUT_WR);
  const TimePoint deadline = later(system_clock().now(), std::chrono::seconds(5));
  if (data[0] % 3 == 2) {
    const auto ready = connection.ready(deadline);
    REQUIRE(ready || ready.error().code != ErrorCode::kDeadline);
    return 0;
  }
  const bool capture = data[0] % 3 == 1;
  const auto answer =
      connection.call({.id = 7, .context = "{}", .params = "{}", .capture_output = capture}, deadline);
  if (answer) {
    check_answer(*answer, bytes, capture);
  } else {
    REQUIRE(answer.error().code == ErrorCode::kInvalid || answer.error().code == ErrorCode::kUnavailable);
  }
  return 0;
}
