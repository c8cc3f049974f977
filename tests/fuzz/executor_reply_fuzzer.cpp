// Whatever an executor answers, the node makes a reply of it that keeps to the limits.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "require.hpp"
#include "runtime/docker/executor_protocol.hpp"
#include "runtime/docker/frame_upgrade.hpp"
#include "serverledge/core/json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace serverledge;
  if (size == 0) return 0;
  constexpr FrameLimits kLimits{200, 50};
  Function function;
  function.name = "f";
  function.runtime = (data[0] & 1U) != 0 ? "custom" : "python314";
  HttpResponse response;
  response.status = (data[0] & 2U) != 0 ? 500 : 200;
  response.body.assign(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Reply reply = executor_reply(response, ExecutorTask(function), kLimits);
  REQUIRE(reply.result.size() <= kLimits.result_bytes);
  REQUIRE(reply.output.size() <= kLimits.output_bytes + 200);
  REQUIRE(is_utf8(reply.result) && is_utf8(reply.output));
  if (reply.failure) {
    REQUIRE(is_utf8(reply.failure->message) && is_utf8(reply.failure->traceback));
  } else {
    REQUIRE(!reply.doomed);
    REQUIRE(function.runtime == "custom" || check_json(reply.result));
  }
  const std::string_view head(response.body);
  REQUIRE(!check_upgrade(head) || head.starts_with("HTTP/1.1 101 "));
  return 0;
}
