// What every container runtime must do: linked with one of them each time.
#include <catch2/catch.hpp>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "runtime/runtime_under_test.hpp"

namespace serverledge::test {
namespace {

std::string of_handler(const std::string& body) {
  return "def handler(params, context):\n    " + body + "\n";
}

TEST_CASE("a Python function answers, and answers again warm", "[conformance]") {
  auto under_test = make_runtime_under_test();
  auto container = start(*under_test, under_test->python(of_handler("return {'n': params['n'] + 1}")));
  for (int n = 0; n < 3; ++n) {
    const Reply reply = call(*container, "{\"n\": " + std::to_string(n) + "}");
    REQUIRE_FALSE(reply.failure);
    CHECK(reply.result == "{\"n\":" + std::to_string(n + 1) + "}");
    CHECK_FALSE(reply.doomed);
  }
  CHECK(container->alive());
}

TEST_CASE("a Node.js function answers, and answers again warm", "[conformance]") {
  auto under_test = make_runtime_under_test();
  auto container =
      start(*under_test, under_test->nodejs("module.exports = async (params) => ({n: params.n + 1});\n"));
  for (int n = 0; n < 3; ++n) {
    const Reply reply = call(*container, "{\"n\": " + std::to_string(n) + "}");
    REQUIRE_FALSE(reply.failure);
    CHECK(reply.result == "{\"n\":" + std::to_string(n + 1) + "}");
    CHECK_FALSE(reply.doomed);
  }
}

TEST_CASE("a handler is told the request's id, its memory and the time that is left", "[conformance]") {
  auto under_test = make_runtime_under_test();
  auto container =
      start(*under_test, under_test->python(of_handler("return [context['RequestId'], context['MemoryMB'], "
                                                       "0 < context['RemainingSeconds'] <= 90]")));
  CHECK(call(*container, "{}", 90).result == "[\"main-0123456789abcdef0123456789abcdef\",128,true]");
}

TEST_CASE("what a function prints comes back when asked for, and only then", "[conformance]") {
  auto under_test = make_runtime_under_test();
  auto container = start(*under_test, under_test->python(of_handler("print('hello', params['n'])")));
  CHECK(call(*container, "{\"n\": 1}", 30, true).output == "hello 1\n");
  CHECK(call(*container, "{\"n\": 2}", 30, false).output.empty());
  CHECK(call(*container, "{\"n\": 3}", 30, true).output == "hello 3\n");
}

TEST_CASE("100 MB of output are cut, told, and harm nobody", "[conformance]") {
  auto under_test = make_runtime_under_test();
  auto container =
      start(*under_test, under_test->python(of_handler("for _ in range(100): print('x' * 1048576)")));
  const Reply reply = call(*container, "{}", 60, true);
  REQUIRE_FALSE(reply.failure);
  CHECK(reply.output.size() < (std::size_t{2} << 20U));
  CHECK(reply.output.find("output cut at") != std::string::npos);
  CHECK(call(*container).result == "null");
}

TEST_CASE("calls run inside one container at a time as it has slots", "[conformance]") {
  auto under_test = make_runtime_under_test();
  // Each call waits until all four are inside: one after the other they would never end.
  Function function = under_test->python(
      "import threading\n"
      "together = threading.Barrier(4)\n"
      "def handler(params, context):\n"
      "    together.wait(20)\n"
      "    return params['n']\n");
  function.max_concurrency = 4;
  auto container = start(*under_test, function);
  std::vector<std::future<Reply>> replies;
  for (int slot = 0; slot < 4; ++slot) {
    replies.push_back(std::async(std::launch::async, [&container, slot] {
      const std::string params = "{\"n\": " + std::to_string(slot) + "}";
      return call(*container, params, 30, false, slot);
    }));
  }
  for (int slot = 0; slot < 4; ++slot) {
    const Reply reply = replies[static_cast<std::size_t>(slot)].get();
    REQUIRE_FALSE(reply.failure);
    CHECK(reply.result == std::to_string(slot));
  }
}

TEST_CASE("an exception comes back with its traceback and leaves the container warm", "[conformance]") {
  auto under_test = make_runtime_under_test();
  auto container = start(*under_test, under_test->python(of_handler("return 1 / params['by']")));
  const Reply reply = call(*container, "{\"by\": 0}");
  REQUIRE(reply.failure);
  CHECK(reply.failure->kind == FailureKind::kRaised);
  CHECK(reply.failure->message == "ZeroDivisionError: division by zero");
  CHECK(reply.failure->traceback.find("main.py") != std::string::npos);
  CHECK_FALSE(reply.doomed);
  CHECK(call(*container, "{\"by\": 2}").result == "0.5");
}

TEST_CASE("a call that takes too long fails as such and dooms the container", "[conformance]") {
  auto under_test = make_runtime_under_test();
  const std::string body = GENERATE(as<std::string>{}, "import time; time.sleep(1000)", "while True: pass");
  auto container = start(*under_test, under_test->python(of_handler(body)));
  const Reply reply = call(*container, "{}", 0.3);
  REQUIRE(reply.failure);
  CHECK(reply.failure->kind == FailureKind::kTimeout);
  CHECK(reply.failure->message == "the function did not answer within 0.3 s");
  CHECK(reply.doomed);
  container->destroy();
  CHECK_FALSE(container->alive());
}

struct Ending {
  const char* body;
  FailureKind kind;
  const char* message;
};

TEST_CASE("an end of the process fails the call, says how it ended, and dooms the container",
          "[conformance]") {
  auto under_test = make_runtime_under_test();
  const Ending ending = GENERATE(
      Ending{"import os; os._exit(3)", FailureKind::kCrashed, "the function's process exited with status 3"},
      Ending{"import sys; sys.exit(4)", FailureKind::kCrashed, "the function's process exited with status 4"},
      Ending{"import ctypes; ctypes.string_at(0)", FailureKind::kCrashed,
             "the function's process was killed by SIGSEGV"},
      Ending{"import os; os.abort()", FailureKind::kCrashed, "the function's process was killed by SIGABRT"},
      Ending{"import os, signal; os.kill(os.getpid(), signal.SIGKILL)", FailureKind::kCrashed,
             "the function's process was killed by SIGKILL"},
      Ending{"import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", FailureKind::kCrashed,
             "the function stopped itself (SIGSTOP)"},
      Ending{"import os, signal; os.kill(0, signal.SIGKILL)", FailureKind::kCrashed,
             "the function's process was killed by SIGKILL"});
  const bool stops = std::string_view(ending.message).find("SIGSTOP") != std::string_view::npos;
  if (stops && !under_test->sees_stops()) return;
  auto container = start(*under_test, under_test->python(of_handler(ending.body)));
  const Reply reply = call(*container);
  REQUIRE(reply.failure);
  CHECK(reply.failure->kind == ending.kind);
  CHECK(reply.failure->message == ending.message);
  CHECK(reply.doomed);
}

TEST_CASE("a Node.js function that ends its process fails the call", "[conformance]") {
  auto under_test = make_runtime_under_test();
  auto container = start(*under_test, under_test->nodejs("module.exports = () => process.exit(7);\n"));
  const Reply reply = call(*container);
  REQUIRE(reply.failure);
  CHECK(reply.failure->kind == FailureKind::kCrashed);
  CHECK(reply.failure->message == "the function's process exited with status 7");
  CHECK(reply.doomed);
}

TEST_CASE("memory over the limit is told as that", "[conformance]") {
  auto under_test = make_runtime_under_test();
  if (!under_test->bounds_memory()) return;
  const bool in_python = GENERATE(true, false);
  const Function function =
      in_python ? under_test->python(of_handler("x = bytearray(1 << 30); return len(x)"))
                : under_test->nodejs("module.exports = () => Buffer.alloc(1 << 30, 1).length;\n");
  auto container = start(*under_test, function);
  const Reply reply = call(*container, "{}", 60);
  REQUIRE(reply.failure);
  INFO(reply.failure->message);
  CHECK(reply.failure->kind == FailureKind::kMemory);
  CHECK(reply.failure->message == "the function exceeded its memory limit of 128 MB");
  CHECK(reply.doomed);
}

TEST_CASE("a fork bomb fails by its limit of processes and dooms the container", "[conformance]") {
  auto under_test = make_runtime_under_test();
  auto container = start(*under_test, under_test->python("import os, time\n"
                                                         "def handler(params, context):\n"
                                                         "    while True:\n"
                                                         "        if os.fork() == 0:\n"
                                                         "            time.sleep(1000)\n"));
  const Reply reply = call(*container);
  REQUIRE(reply.failure);
  CHECK(reply.failure->kind == FailureKind::kRaised);
  CHECK(reply.failure->message.find("BlockingIOError") != std::string::npos);
  CHECK(reply.failure->message.find("limit of processes") != std::string::npos);
  CHECK(reply.doomed);
}

TEST_CASE("a full /tmp fails the call, is told, and dooms the container", "[conformance]") {
  auto under_test = make_runtime_under_test();
  auto container = start(*under_test, under_test->python("def handler(params, context):\n"
                                                         "    for n in range(1000):\n"
                                                         "        with open(f'/tmp/{n}', 'wb') as file:\n"
                                                         "            file.write(bytes(1 << 20))\n"));
  Function function = under_test->python(of_handler("return 1"));
  const Reply reply = call(*container);
  REQUIRE(reply.failure);
  CHECK(reply.failure->kind == FailureKind::kRaised);
  CHECK(reply.failure->message.find("No space left on device") != std::string::npos);
  CHECK(reply.failure->message.find("/tmp is full") != std::string::npos);
  CHECK(reply.doomed);
}

TEST_CASE("closing the channel fails the call and dooms the container", "[conformance]") {
  auto under_test = make_runtime_under_test();
  auto container =
      start(*under_test, under_test->python(std::string(kSocketCode) + "import time\n"
                                                                       "def handler(params, context):\n"
                                                                       "    for fd in sockets():\n"
                                                                       "        os.close(fd)\n"
                                                                       "    time.sleep(1000)\n"));
  const Reply reply = call(*container);
  REQUIRE(reply.failure);
  CHECK(reply.failure->kind == FailureKind::kProtocol);
  CHECK(reply.failure->message == "the function closed its channel to the node");
  CHECK(reply.doomed);
}

TEST_CASE("garbage on the channel fails the call and dooms the container", "[conformance]") {
  auto under_test = make_runtime_under_test();
  for (const std::string& garbage : frame_garbage()) {
    CAPTURE(garbage);
    auto container =
        start(*under_test, under_test->python(std::string(kSocketCode) + "import time\n" +
                                              of_handler("tell(" + garbage + "); time.sleep(1000)")));
    const Reply reply = call(*container);
    REQUIRE(reply.failure);
    CHECK(reply.failure->kind == FailureKind::kProtocol);
    CHECK(reply.failure->message.find("no answer") != std::string::npos);
    CHECK(reply.doomed);
  }
}

TEST_CASE("an answer prepared for a later call is not taken for it", "[conformance]") {
  auto under_test = make_runtime_under_test();
  // Forged answers for many ids, on the channel of a call that has been answered already.
  Function function = under_test->python(std::string(kSocketCode) +
                                         "import threading\n"
                                         "answered, written = threading.Event(), threading.Event()\n"
                                         "def forge(fds):\n"
                                         "    answered.wait()\n"
                                         "    for call in range(100):\n"
                                         "        for fd in fds:\n"
                                         "            try:\n"
                                         "                os.write(fd, " +
                                         std::string(kForgedAnswer) +
                                         ")\n"
                                         "            except OSError:\n"
                                         "                pass\n"
                                         "    written.set()\n"
                                         "def handler(params, context):\n"
                                         "    if 'wait' in params:\n"
                                         "        answered.set()\n"
                                         "        return written.wait(20)\n"
                                         "    threading.Thread(target=forge, args=[sockets()]).start()\n"
                                         "    return 1\n");
  function.max_concurrency = 2;
  auto container = start(*under_test, function);
  const Reply first = call(*container);
  REQUIRE_FALSE(first.failure);
  CHECK(first.result == "1");
  CHECK(call(*container, "{\"wait\": 1}", 30, false, 1).result == "true");
  // It fails for that, or gets its own answer on a fresh channel.
  const Reply second = call(*container);
  if (second.failure) {
    CHECK(second.failure->kind == FailureKind::kProtocol);
    CHECK(second.doomed);
  } else {
    CHECK(second.result == "1");
  }
}

TEST_CASE("a child left behind keeps no call waiting and ends with its container", "[conformance]") {
  auto under_test = make_runtime_under_test();
  auto container = start(*under_test, under_test->python("import os, time\n"
                                                         "def handler(params, context):\n"
                                                         "    if os.fork() == 0:\n"
                                                         "        os.setsid()\n"
                                                         "        time.sleep(1000)\n"
                                                         "    return 'left'\n"));
  for (int n = 0; n < 3; ++n) CHECK(call(*container).result == "\"left\"");
  container->destroy();
  CHECK_FALSE(container->alive());
}

TEST_CASE("code that does not load is told with the language's own words", "[conformance]") {
  auto under_test = make_runtime_under_test();
  const TimePoint deadline = later(system_clock().now(), from_seconds(30));
  const auto missing =
      under_test->runtime().create(under_test->python("import nothing_like_that\n"), deadline);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ErrorCode::kFunctionFailed);
  CHECK(missing.error().message.find("nothing_like_that") != std::string::npos);
  CHECK(missing.error().detail.find("main.py") != std::string::npos);
  const auto exits = under_test->runtime().create(under_test->python("import os\nos._exit(5)\n"), deadline);
  REQUIRE_FALSE(exits);
  CHECK(exits.error().code == ErrorCode::kFunctionFailed);
  CHECK(exits.error().message == "while loading, the function's process exited with status 5");
  const auto script = under_test->runtime().create(under_test->nodejs("let x = ;\n"), deadline);
  REQUIRE_FALSE(script);
  CHECK(script.error().code == ErrorCode::kFunctionFailed);
  CHECK(script.error().message.find("SyntaxError") != std::string::npos);
}

TEST_CASE("code that never finishes loading is given up at the deadline", "[conformance]") {
  auto under_test = make_runtime_under_test();
  const TimePoint deadline = later(system_clock().now(), from_seconds(0.5));
  const auto container = under_test->runtime().create(under_test->python("while True: pass\n"), deadline);
  REQUIRE_FALSE(container);
  CHECK(container.error().code == ErrorCode::kDeadline);
}

/// A function whose calls take long; a second one tells when the first has begun.
Function long_function(RuntimeUnderTest& under_test) {
  Function function = under_test.python(
      "import threading, time\n"
      "begun = threading.Event()\n"
      "def handler(params, context):\n"
      "    if 'await' in params:\n"
      "        return begun.wait(60)\n"
      "    begun.set()\n"
      "    time.sleep(1000)\n");
  function.max_concurrency = 2;
  return function;
}

std::future<Reply> begin_long_call(Container& container) {
  auto reply = std::async(std::launch::async, [&container] { return call(container, "{}", 120); });
  REQUIRE(call(container, R"({"await": true})", 60, false, 1).result == "true");
  return reply;
}

TEST_CASE("destroying a container returns the calls inside it", "[conformance]") {
  auto under_test = make_runtime_under_test();
  auto container = start(*under_test, long_function(*under_test));
  auto reply = begin_long_call(*container);
  container->destroy();
  const Reply ended = reply.get();
  REQUIRE(ended.failure);
  CHECK(ended.failure->message == "the container was shut down");
  CHECK(ended.doomed);
}

TEST_CASE("shutting the runtime down returns the calls of all its containers", "[conformance]") {
  auto under_test = make_runtime_under_test();
  auto container = start(*under_test, long_function(*under_test));
  auto reply = begin_long_call(*container);
  under_test->runtime().shutdown();
  CHECK(reply.get().failure);
  CHECK_FALSE(container->alive());
  const auto late = under_test->runtime().create(under_test->python(of_handler("return 1")),
                                                 later(system_clock().now(), from_seconds(5)));
  REQUIRE_FALSE(late);
  CHECK(late.error().code == ErrorCode::kCancelled);
}

TEST_CASE("containers of many functions start at once and do not meet", "[conformance]") {
  auto under_test = make_runtime_under_test();
  std::vector<std::future<std::string>> results;
  for (int n = 0; n < 12; ++n) {
    results.push_back(std::async(std::launch::async, [&under_test, n] {
      const std::string number = std::to_string(n);
      const Function function =
          n % 4 == 3 ? under_test->nodejs("module.exports = () => " + number + ";\n")
                     : under_test->python(of_handler("open('/tmp/mine', 'x').close(); return " + number));
      Result<std::unique_ptr<Container>> container =
          under_test->runtime().create(function, later(system_clock().now(), from_seconds(60)));
      if (!container) return container.error().message;
      const Reply reply = call(**container);
      return reply.failure ? reply.failure->message : reply.result;
    }));
  }
  for (int n = 0; n < 12; ++n) CHECK(results[static_cast<std::size_t>(n)].get() == std::to_string(n));
}

TEST_CASE("a stock is kept where the runtime plans one, and used up by starts", "[conformance]") {
  auto under_test = make_runtime_under_test();
  ContainerRuntime& runtime = under_test->runtime();
  for (const StockPlan& plan : runtime.stock_plans()) {
    CHECK(plan.memory_mb > 0);
    CHECK(runtime.stock(plan.runtime) == 0);
    for (int n = 0; n < 2; ++n)
      REQUIRE(runtime.add_stock(plan.runtime, later(system_clock().now(), from_seconds(30))));
    CHECK(runtime.stock(plan.runtime) == 2);
    const Function python = under_test->python(of_handler("return 1"));
    const Function nodejs = under_test->nodejs("module.exports = () => 1;\n");
    auto container = start(*under_test, plan.runtime == python.runtime ? python : nodejs);
    CHECK(call(*container).result == "1");
    CHECK(runtime.stock(plan.runtime) == 1);
    CHECK(runtime.drop_stock(plan.runtime));
    CHECK_FALSE(runtime.drop_stock(plan.runtime));
  }
}

}  // namespace
}  // namespace serverledge::test
