#include "runtime/frame_connection.hpp"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "support/temporary_folder.hpp"

using namespace serverledge;
using namespace std::chrono_literals;
using test::TemporaryFolder;

namespace {

TimePoint soon() { return later(system_clock().now(), 10s); }
TimePoint at_once() { return later(system_clock().now(), 1ms); }

std::string frame(FrameType type, std::uint64_t id, const std::string& payload, std::uint8_t flags = 0) {
  const auto header = encode({static_cast<std::uint32_t>(payload.size()), type, flags, id});
  return std::string(header.data(), header.size()) + payload;
}

std::string result_frame(std::uint64_t id, const std::string& json) {
  return frame(FrameType::kResult, id, std::string(4, '\0') + json);
}

// Both ends of a connection; the far one says what a test wants it to.
struct Pair {
  explicit Pair(FrameLimits limits = {}, int death_fd = -1) {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
    near = std::make_unique<FrameConnection>(FileDescriptor(ends[0]), limits, death_fd);
    far.reset(ends[1]);
  }
  void say(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(far.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  // Reads that many bytes.
  std::string hear(std::size_t size) const {
    std::string bytes(size, '\0');
    std::size_t have = 0;
    while (have < size) {
      const ssize_t got = ::recv(far.get(), bytes.data() + have, size - have, 0);
      if (got <= 0) break;
      have += static_cast<std::size_t>(got);
    }
    bytes.resize(have);
    return bytes;
  }
  Result<CallAnswer> call(TimePoint deadline = soon(), std::string_view params = "{}",
                          bool capture = true) const {
    return near->call({.id = 7, .context = "{}", .params = params, .capture_output = capture}, deadline);
  }

  std::unique_ptr<FrameConnection> near;
  FileDescriptor far;
};

ErrorCode code(const Result<CallAnswer>& result) {
  REQUIRE_FALSE(result);
  return result.error().code;
}

}  // namespace

TEST_CASE("a call is one frame with context and params, and its answer comes back", "[frame]") {
  const Pair pair;
  pair.say(result_frame(7, "[1]"));
  const auto got = pair.call(soon(), R"({"n":1})");
  REQUIRE(got);
  CHECK(got->result == "[1]");
  const std::string sent = pair.hear(16 + 4 + 2 + 7);
  CHECK(sent == frame(FrameType::kCall, 7, std::string("\2\0\0\0", 4) + "{}" + R"({"n":1})", kFrameFlag));
  CHECK(pair.near->clean());
}

TEST_CASE("an answer may come byte by byte, and be of any size up to the limit", "[frame]") {
  const Pair pair;
  const std::string json = '"' + std::string(3 << 20, 'x') + '"';
  std::thread worker([&] {
    pair.hear(16 + 4 + 2 + 2);
    for (const char byte : result_frame(7, "true")) pair.say({&byte, 1});
    pair.hear(16 + 4 + 2 + 2);
    pair.say(result_frame(7, json));
  });
  const auto small = pair.call();
  const auto large = pair.call();
  worker.join();
  REQUIRE((small && large));
  CHECK(small->result == "true");
  CHECK(large->result == json);
}

TEST_CASE("params larger than the socket's buffer are sent whole", "[frame]") {
  const Pair pair;
  const std::string params = R"({"a":")" + std::string(5 << 20, 'y') + R"("})";
  std::string heard;
  std::thread worker([&] {
    heard = pair.hear(16 + 4 + 2 + params.size());
    pair.say(result_frame(7, "1"));
  });
  const auto got = pair.call(soon(), params);
  worker.join();
  CHECK(got);
  CHECK(heard.substr(22) == params);
}

TEST_CASE("what is not the answer awaited is a broken protocol", "[frame]") {
  const Pair pair({.result_bytes = 100, .output_bytes = 10});
  SECTION("another call's answer") { pair.say(result_frame(8, "1")); }
  SECTION("ready again") { pair.say(frame(FrameType::kReady, 0, R"({"Runtime":"x"})")); }
  SECTION("a call") { pair.say(frame(FrameType::kCall, 7, std::string(4, '\0') + "1")); }
  SECTION("garbage") { pair.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"); }
  SECTION("an oversized length") {
    pair.say(frame(FrameType::kResult, 7, "").replace(0, 4, "\xff\xff\xff\x7f"));
  }
  SECTION("a second answer") { pair.say(result_frame(7, "1") + result_frame(7, "2")); }
  SECTION("half a frame more") { pair.say(result_frame(7, "1") + "x"); }
  SECTION("a result that is not JSON") { pair.say(result_frame(7, "{1:2}")); }
  SECTION("a result over the limit") { pair.say(result_frame(7, '"' + std::string(100, 'x') + '"')); }
  SECTION("more output than asked for") {
    pair.say(frame(FrameType::kResult, 7, std::string("\x0b\0\0\0", 4) + "01234567890" + "1"));
  }
  CHECK(code(pair.call()) == ErrorCode::kInvalid);
}

TEST_CASE("a call ends at its deadline, whether nothing, half an answer or a reader is missing", "[frame]") {
  const Pair pair;
  SECTION("nothing") { CHECK(code(pair.call(at_once())) == ErrorCode::kDeadline); }
  SECTION("half a header") {
    pair.say(result_frame(7, "1").substr(0, 9));
    CHECK(code(pair.call(at_once())) == ErrorCode::kDeadline);
  }
  SECTION("half a payload") {
    pair.say(result_frame(7, "\"abc\"").substr(0, 20));
    CHECK(code(pair.call(at_once())) == ErrorCode::kDeadline);
  }
  SECTION("nobody reads") {
    CHECK(code(pair.call(at_once(), std::string(8 << 20, ' '))) == ErrorCode::kDeadline);
  }
  SECTION("a deadline that has passed") { CHECK(code(pair.call(TimePoint{})) == ErrorCode::kDeadline); }
}

TEST_CASE("the end of an instance ends its call", "[frame]") {
  SECTION("its channel is closed before the answer") {
    Pair pair;
    std::thread worker([&] {
      pair.hear(16 + 4 + 2 + 2);
      pair.far.reset();
    });
    CHECK(code(pair.call()) == ErrorCode::kUnavailable);
    worker.join();
  }
  SECTION("its channel is closed in the middle of the answer") {
    Pair pair;
    std::thread worker([&] {
      pair.hear(16 + 4 + 2 + 2);
      pair.say(result_frame(7, "\"abc\"").substr(0, 22));
      pair.far.reset();
    });
    CHECK(code(pair.call()) == ErrorCode::kUnavailable);
    worker.join();
  }
  SECTION("its channel was closed before the call, and no signal is raised") {
    Pair pair;
    pair.far.reset();
    CHECK(code(pair.call()) == ErrorCode::kUnavailable);
    CHECK_FALSE(pair.near->clean());
  }
  SECTION("it is told by the death descriptor, though a left child still holds the channel") {
    const FileDescriptor death(::eventfd(0, EFD_CLOEXEC));
    const Pair pair({}, death.get());
    std::thread worker([&] {
      pair.hear(16 + 4 + 2 + 2);
      ::eventfd_write(death.get(), 1);
    });
    CHECK(code(pair.call()) == ErrorCode::kUnavailable);
    worker.join();
  }
  SECTION("an answer that came before its death counts") {
    const FileDescriptor death(::eventfd(1, EFD_CLOEXEC));
    const Pair pair({}, death.get());
    pair.say(result_frame(7, "1"));
    CHECK(pair.call());
  }
}

TEST_CASE("a connection is clean only while nothing waits and the other end is open", "[frame]") {
  Pair pair;
  CHECK(pair.near->clean());
  pair.say("x");
  CHECK_FALSE(pair.near->clean());
}

TEST_CASE("an unspecialised worker is told what to become, and says when it is ready", "[frame]") {
  const Pair pair;
  REQUIRE(pair.near->load(R"({"Handler":"hello"})", soon()));
  CHECK(pair.hear(16 + 19) == frame(FrameType::kLoad, 0, R"({"Handler":"hello"})"));
  pair.say(frame(FrameType::kReady, 0, R"({"Runtime":"Node.js 20.0.0"})"));
  const auto runtime = pair.near->ready(soon());
  REQUIRE(runtime);
  CHECK(*runtime == "Node.js 20.0.0");
  CHECK(pair.near->ready(at_once()).error().code == ErrorCode::kDeadline);
}

TEST_CASE("a connection to a listener is made, or the error names the path", "[frame]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("listener");
  const auto missing = FrameConnection::connect(path, {}, -1, soon());
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ErrorCode::kUnavailable);
  CHECK_THAT(missing.error().message, Catch::Contains(path));
  CHECK(FrameConnection::connect(std::string(200, 'x'), {}, -1, soon()).error().code == ErrorCode::kInvalid);

  const FileDescriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  REQUIRE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  REQUIRE(::listen(listener.get(), 0) == 0);
  const auto first = FrameConnection::connect(path, {}, -1, soon());
  REQUIRE(first);
  CHECK(first->clean());
  // A queue of 0 holds one connection: nobody accepts, so the second waits in vain.
  const auto second = FrameConnection::connect(path, {}, -1, at_once());
  REQUIRE_FALSE(second);
  CHECK(second.error().code == ErrorCode::kDeadline);
}
