#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <optional>

#include "executor_process.hpp"
#include "runtime/frame.hpp"

using namespace serverledge;
using namespace serverledge::test;
using Catch::Contains;
using Catch::StartsWith;

// The executors of Python and Node.js by frames, on a connection that was upgraded.
namespace {

struct FrameLanguage {
  std::unique_ptr<ExecutorProcess> (*start)(const ExecutorProcess::Texts&, const ExecutorProcess::Texts&);
  const char* file;
  const char* handler;
  const char* runtime;  ///< how what it says of itself begins
  const char* error;    ///< that it raises
  const char* code;
};

constexpr FrameLanguage kPythonFrames = {ExecutorProcess::python, "f.py", "f.handler", "CPython 3.",
                                         "ValueError: wrong",     R"(
import os, sys, threading
meeting = threading.Barrier(2)
def handler(params, context):
    do = params.get("do")
    if do == "print": print("out é")
    elif do == "raise":
        print("before")
        raise ValueError("wrong")
    elif do == "context": return [context.get("RequestId"), context.get("Region"), context["RemainingSeconds"]]
    elif do == "meet": meeting.wait(40)
    elif do == "main": return threading.current_thread() is threading.main_thread()
    elif do == "return twice":
        pid = os.fork()
        if pid == 0: return "child"
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    elif do == "leave a child":
        until, keep = os.pipe()
        if os.fork() == 0:
            os.close(keep)
            os.read(until, 1)
            os._exit(0)
    return params
)"};

constexpr FrameLanguage kNodejsFrames = {ExecutorProcess::nodejs, "f.js", "f", "Node.js ",
                                         "TypeError: wrong",      R"(
let waiting = null;
exports.handler = (params, context) => {
  switch (params.do) {
    case 'print': console.log('out é'); break;
    case 'raise': console.log('before'); throw new TypeError('wrong');
    case 'context': return [context.RequestId ?? null, context.Region ?? null, context.RemainingSeconds];
    case 'meet': return new Promise((resolve) => {
      if (waiting === null) waiting = () => resolve(params);
      else { waiting(); waiting = null; resolve(params); }
    });
    case 'leave a child': {
      const child = require('child_process').spawn('/bin/cat');
      return new Promise((resolve) => child.on('spawn', () => resolve(params)));
    }
  }
  return params;
};
)"};

const FrameLanguage& frame_language() {
  const FrameLanguage& chosen = *GENERATE(&kPythonFrames, &kNodejsFrames);
  return chosen;
}

std::string upgrade_to(std::string_view protocol) {
  return get("/frames", "Connection: Upgrade\r\nUpgrade: " + std::string(protocol) + "\r\n");
}

std::string frame_of(FrameType type, std::string_view payload, std::uint64_t id = 0, std::uint8_t flags = 0) {
  const auto header = encode({static_cast<std::uint32_t>(payload.size()), type, flags, id});
  return std::string(header.data(), header.size()).append(payload);
}

std::string call_frame(std::uint64_t id, std::string_view params, std::string_view context = "{}") {
  const auto length = static_cast<std::uint32_t>(context.size());
  std::string payload(sizeof(length), '\0');
  std::memcpy(payload.data(), &length, sizeof(length));
  return frame_of(FrameType::kCall, payload.append(context).append(params), id, kFrameFlag);
}

std::string load_frame(const ExecutorProcess& process, std::string_view handler) {
  return frame_of(FrameType::kLoad,
                  "{\"Handler\":\"" + std::string(handler) + "\",\"AppDir\":\"" + process.folder() + "\"}");
}

struct ReceivedFrame {
  FrameHeader header;
  std::string payload;
};

/// A connection that was upgraded.
class FramePeer {
 public:
  explicit FramePeer(const ExecutorProcess& process, std::string_view ahead = {}) : peer_(process.connect()) {
    const std::string_view switching =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: serverledge-frames\r\n\r\n";
    REQUIRE(peer_.send(upgrade_to("Other, Serverledge-Frames").append(ahead)));
    CHECK(exactly(switching.size()) == switching);  // and not a byte of the frames that may follow
  }

  RawPeer& raw() { return peer_; }
  std::optional<ReceivedFrame> receive() {
    const std::optional<std::string> head = exactly(kFrameHeaderSize);
    if (!head) return std::nullopt;
    const Result<FrameHeader> header = decode_frame_header(*head);
    REQUIRE(header);
    return ReceivedFrame{*header, exactly(header->length).value()};
  }
  bool is_closed() { return !exactly(1); }

  /// What the executor answers to a load.
  Result<std::string> load(const ExecutorProcess& process, std::string_view handler) {
    peer_.send(load_frame(process, handler));
    return ready();
  }
  Result<std::string> ready() {
    const std::optional<ReceivedFrame> answer = receive();
    REQUIRE(answer);
    return parse_ready(answer->header, answer->payload);
  }
  CallAnswer answer(std::uint64_t id) {
    const std::optional<ReceivedFrame> received = receive();
    REQUIRE(received);
    CHECK(received->header.id == id);
    Result<CallAnswer> parsed = serverledge::parse_answer(received->header, received->payload, true, {});
    REQUIRE(parsed);
    return *parsed;
  }
  CallAnswer call(std::string_view params, std::string_view context = "{}") {
    REQUIRE(peer_.send(call_frame(++last_id_, params, context)));
    return answer(last_id_);
  }

 private:
  /// Nothing if the connection ends, with an end or a reset, before.
  std::optional<std::string> exactly(std::size_t size) {
    std::string bytes(size, '\0');
    std::size_t have = 0;
    while (have < size) {
      const ssize_t got = ::recv(peer_.fd(), bytes.data() + have, size - have, 0);
      if (got < 0 && errno != ECONNRESET) FAIL("nothing came: " << std::strerror(errno));
      if (got <= 0) return std::nullopt;
      have += static_cast<std::size_t>(got);
    }
    return bytes;
  }

  RawPeer peer_;
  std::uint64_t last_id_ = 0;
};

/// A function, its executor and a connection to it that has loaded the function.
struct Framed {
  explicit Framed(const FrameLanguage& which, const ExecutorProcess::Texts& environment = {})
      : language(which), process(which.start({{which.file, which.code}}, environment)), peer(open()) {}
  FramePeer open() const {
    FramePeer opened(*process);
    const Result<std::string> ready = opened.load(*process, language.handler);
    REQUIRE(ready);
    CHECK_THAT(*ready, StartsWith(language.runtime));
    return opened;
  }
  /// A call by HTTP on a connection of its own.
  ExecutorAnswer invoke(const std::string& params) const {
    return process->invoke(process->call(language.handler, params));
  }

  const FrameLanguage& language;
  std::unique_ptr<ExecutorProcess> process;
  FramePeer peer;
};

}  // namespace

TEST_CASE("an image's executor answers calls in frames", "[frames]") {
  Framed f(frame_language());
  const std::string params = R"({"text":"h\u0000é 漢 😀","empty":{},"list":[[],null,true],"":1})";
  for (int i = 0; i < 100; ++i) REQUIRE(f.peer.call(params).result == params);
  const CallAnswer printed = f.peer.call(R"({"do":"print"})");
  CHECK(printed.result == R"({"do":"print"})");
  CHECK(printed.output == "out é\n");
  CHECK_FALSE(printed.output_cut);
}

TEST_CASE("what a function in an image raises comes back in a frame, and the connection goes on",
          "[frames]") {
  Framed f(frame_language());
  const CallAnswer failed = f.peer.call(R"({"do":"raise"})");
  REQUIRE(failed.failure);
  CHECK(failed.failure->kind == FailureKind::kRaised);
  CHECK(failed.failure->message == f.language.error);
  CHECK_THAT(failed.failure->traceback, Contains(f.language.file) && !Contains("worker"));
  CHECK(failed.output == "before\n");
  CHECK(f.peer.call("[").failure);
  CHECK(f.peer.call("{}", "[").failure);
  CHECK(f.peer.call("{}").result == "{}");
}

TEST_CASE("a call in frames has the context of the image under its own", "[frames]") {
  Framed f(frame_language(), {{"CONTEXT", R"({"Region":"ROME","RequestId":"none"})"}});
  const std::string ask = R"({"do":"context"})";
  CHECK(f.peer.call(ask).result == R"(["none","ROME",null])");
  CHECK_THAT(f.peer.call(ask, R"({"RequestId":"f-1","Deadline":30.5})").result,
             StartsWith(R"(["f-1","ROME",)"));
}

TEST_CASE("the limits of an image's executor hold in frames too", "[frames]") {
  Framed f(frame_language(), {{"EXECUTOR_OUTPUT_LIMIT", "4"}, {"EXECUTOR_RESULT_LIMIT", "20"}});
  const CallAnswer printed = f.peer.call(R"({"do":"print"})");
  CHECK(printed.output == "out ");
  CHECK(printed.output_cut);
  const CallAnswer large = f.peer.call("{\"x\":\"" + std::string(30, 'x') + "\"}");
  REQUIRE(large.failure);
  CHECK(large.failure->kind == FailureKind::kOutput);
}

TEST_CASE("a function that does not load is told in a frame, and the executor goes on", "[frames]") {
  const FrameLanguage& one = frame_language();
  Framed f(one);
  FramePeer other(*f.process);
  const Result<std::string> started = other.load(*f.process, std::string("absent") + one.handler);
  REQUIRE_FALSE(started);
  CHECK(started.error().code == ErrorCode::kFunctionFailed);
  CHECK_THAT(started.error().message, Contains("absent"));
  CHECK(other.is_closed());
  CHECK(f.peer.call("{}").result == "{}");
  CHECK(f.invoke("{}").success);
}

TEST_CASE("HTTP and frames are spoken by an image's executor at the same time", "[frames]") {
  Framed f(frame_language());
  RawPeer http = f.process->connect();
  for (int i = 0; i < 20; ++i) {
    const std::string params = "{\"n\":" + std::to_string(i) + "}";
    CHECK(f.peer.call(params).result == params);
    CHECK(parse_answer(http.ask(post("/invoke", f.process->call(f.language.handler, params)))).result ==
          params);
  }
  const std::string meet = R"({"do":"meet"})";
  REQUIRE(f.peer.raw().send(call_frame(7, meet)));
  CHECK(parse_answer(http.ask(post("/invoke", f.process->call(f.language.handler, meet)))).success);
  CHECK(f.peer.answer(7).result == meet);
}

TEST_CASE("calls in frames on two connections run at the same time", "[frames]") {
  Framed f(frame_language());
  FramePeer second = f.open();
  const std::string meet = R"({"do":"meet"})";
  REQUIRE(f.peer.raw().send(call_frame(1, meet)));
  REQUIRE(second.raw().send(call_frame(2, meet)));
  CHECK(f.peer.answer(1).result == meet);
  CHECK(second.answer(2).result == meet);
}

TEST_CASE("large params and results pass in frames whole", "[frames]") {
  Framed f(frame_language());
  const std::string params = R"({"text":")" + std::string(1 << 20, 'z') + R"("})";
  for (int i = 0; i < 3; ++i) CHECK(f.peer.call(params).result == params);
}

TEST_CASE("frames that come byte by byte, the first with the request, are read", "[frames]") {
  const FrameLanguage& one = frame_language();
  const auto process = one.start({{one.file, one.code}}, {});
  const std::string load = load_frame(*process, one.handler);
  for (const std::size_t ahead : {std::size_t{1}, std::size_t{20}, load.size()}) {
    FramePeer peer(*process, std::string_view(load).substr(0, ahead));
    for (const char byte : load.substr(ahead)) REQUIRE(peer.raw().send({&byte, 1}));
    REQUIRE(peer.ready());
    for (const char byte : call_frame(1, "{}")) REQUIRE(peer.raw().send({&byte, 1}));
    CHECK(peer.answer(1).result == "{}");
  }
}

TEST_CASE("what asks /frames for anything else is refused with what it takes", "[frames]") {
  const FrameLanguage& one = frame_language();
  const auto process = one.start({{one.file, one.code}}, {});
  RawPeer peer = process->connect();
  const auto refused = [&](const std::string& request, int status, const std::string& field) {
    CAPTURE(request);
    const std::string answer = peer.ask(request);
    CHECK_THAT(answer, Contains("\r\n" + field + "\r\n"));
    const ExecutorAnswer parsed = parse_answer(answer);
    CHECK(parsed.status == status);
    CHECK(parsed.kind == "protocol");
  };
  const std::string need = "Upgrade: serverledge-frames";
  refused(get("/frames"), 426, need);
  refused(get("/frames", need + "\r\n"), 426, need);
  refused(upgrade_to("h2c"), 426, need);
  refused(get("/frames", "Connection: Upgrade\r\n" + need + "\r\nContent-Length: 2\r\n") + "{}", 426, need);
  refused(post("/frames", "{}"), 405, "Allow: GET");
  refused(post("/frames", "{}", "Connection: Upgrade\r\n" + need + "\r\n"), 405, "Allow: GET");
  CHECK(peer.ask("GET /frames HTTP/1.0\r\nConnection: Upgrade\r\n" + need + "\r\n\r\n").substr(9, 3) ==
        "426");
}

TEST_CASE("a request that would like another protocol is answered by HTTP", "[frames]") {
  const FrameLanguage& one = frame_language();
  const auto process = one.start({{one.file, one.code}}, {});
  const std::string h2c =
      "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
  RawPeer peer = process->connect();
  for (const std::size_t size : {1, 10, 1 << 20}) {
    const std::string params = "{\"x\":\"" + std::string(size, 'x') + "\"}";
    for (int i = 0; i < 15; ++i) {
      const ExecutorAnswer answer =
          parse_answer(peer.ask(post("/invoke", process->call(one.handler, params), h2c)));
      REQUIRE(answer.result == params);
    }
  }
}

TEST_CASE("what is no frame of a node closes its connection, and no other", "[frames]") {
  Framed f(frame_language(), {{"EXECUTOR_BODY_LIMIT", "10000"}});
  const std::string load = load_frame(*f.process, f.language.handler);
  const auto load_of = [](std::string_view what) { return frame_of(FrameType::kLoad, what); };
  for (const std::string& wrong :
       {call_frame(1, "{}"), std::string(100, 'x'), load_of("{"), load_of("[]"), load_of("null"),
        load_of("\xff"), load_of("{}"), load_of(R"({"Handler":3})"), load_of(R"({"Handler":"f","AppDir":3})"),
        load + load}) {
    CAPTURE(wrong);
    FramePeer peer(*f.process);
    peer.raw().send(wrong);
    CHECK(peer.is_closed());
  }
  const std::string too_long = call_frame(1, "\"" + std::string(10'000, 'x') + "\"");
  for (const std::string& wrong :
       {load, std::string("GET / HTTP/1.1\r\n\r\n"), frame_of(FrameType::kCall, "{}"),
        frame_of(FrameType::kReady, "{}"), call_frame(1, "{}") + call_frame(2, "{}"), too_long,
        too_long.substr(0, kFrameHeaderSize),
        frame_of(FrameType::kResult, "").replace(0, 4, "\xff\xff\xff\xff")}) {
    CAPTURE(wrong.substr(0, 100));
    FramePeer peer = f.open();
    peer.raw().send(wrong);
    CHECK(peer.is_closed());
  }
  for (const std::size_t part : {5, 18}) {
    FramePeer peer = f.open();
    peer.raw().send(call_frame(1, "{}").substr(0, part));
    peer.raw().half_close();
    CHECK(peer.is_closed());
  }
  CHECK(f.peer.call("{}").result == "{}");
  CHECK(f.invoke("{}").success);
}

TEST_CASE("a peer that ends its connection of frames has the answer that it waits for, then the end",
          "[frames]") {
  Framed f(frame_language());
  FramePeer second = f.open();
  REQUIRE(second.raw().send(call_frame(1, R"({"do":"meet"})")));
  second.raw().half_close();
  CHECK(f.peer.call(R"({"do":"meet"})").failure == std::nullopt);
  CHECK(second.answer(1).result == R"({"do":"meet"})");
  CHECK(second.is_closed());
  f.peer.raw().half_close();
  CHECK(f.peer.is_closed());
  for (std::size_t i = 0; i < 20; ++i) {
    FramePeer rude = f.open();
    rude.raw().send(call_frame(1, "{}").substr(0, 2 * i));
    if (i % 2 == 0) rude.raw().reset();
  }
  CHECK(f.open().call("{}").result == "{}");
}

TEST_CASE("a child that a function in an image leaves holds none of the executor's connections", "[frames]") {
  Framed f(frame_language());
  CHECK(f.peer.call(R"({"do":"leave a child"})").failure == std::nullopt);
  CHECK(f.peer.call("{}").result == "{}");
  f.peer.raw().half_close();
  CHECK(f.peer.is_closed());
  CHECK(f.invoke("{}").success);
}

TEST_CASE("a Python child that returns answers nothing in frames", "[frames]") {
  Framed f(kPythonFrames);
  for (int i = 0; i < 3; ++i) CHECK(f.peer.call(R"({"do":"return twice"})").result == "0");
}

TEST_CASE("the first connection of frames to a Python executor is served by the main thread", "[frames]") {
  const auto process = kPythonFrames.start({{kPythonFrames.file, kPythonFrames.code}}, {});
  for (int i = 0; i < 10; ++i) {
    FramePeer peer(*process);
    REQUIRE(peer.load(*process, kPythonFrames.handler));
    for (int j = 0; j < 3; ++j) CHECK(peer.call(R"({"do":"main"})").result == "true");
  }
}
