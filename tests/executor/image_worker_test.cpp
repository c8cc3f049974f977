#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <functional>

#include "executor_process.hpp"

using namespace serverledge::test;
using Catch::Contains;
using Catch::StartsWith;

// The Python and the Node.js worker with HTTP as their transport: what both must do is tested with both.
namespace {

struct Language {
  const char* name;
  std::unique_ptr<ExecutorProcess> (*start)(const ExecutorProcess::Texts&, const ExecutorProcess::Texts&);
  const char* file;     ///< of the function
  const char* handler;  ///< its name for the executor
  const char* code;     ///< what it does is in params.do
};

constexpr Language kPython = {"Python", ExecutorProcess::python, "f.py", "f.handler", R"(
import asyncio, sys, threading
meeting = threading.Barrier(2)
async def later(p):
    await asyncio.sleep(0)
    return {"later": p}
def handler(params, context):
    do = params.get("do")
    if do == "print":
        print("out é"); print("err", file=sys.stderr)
    elif do == "raise":
        print("before")
        raise ValueError("wrong")
    elif do == "odd": return float("nan")
    elif do == "later": return later(params)
    elif do == "context": return [context.get("RequestId"), context.get("Region"), context["RemainingSeconds"]]
    elif do == "exit": sys.exit(3)
    elif do == "meet": meeting.wait(40)
    elif do == "size": return "x" * params["n"]
    elif do == "spill": print("é" * params["n"])
    return params
)"};

constexpr Language kNodejs = {"Node.js", ExecutorProcess::nodejs, "f.js", "f", R"(
let waiting = null;
exports.handler = (params, context) => {
  switch (params.do) {
    case 'print': console.log('out é'); console.error('err'); break;
    case 'raise': console.log('before'); throw new TypeError('wrong');
    case 'odd': return NaN;
    case 'later': return new Promise((resolve) => setImmediate(() => resolve({ later: params })));
    case 'context': return [context.RequestId ?? null, context.Region ?? null, context.RemainingSeconds];
    case 'exit': process.exit(3);
    case 'meet': return new Promise((resolve) => {
      if (waiting === null) waiting = resolve;
      else { waiting(params); resolve(params); }
    });
    case 'size': return 'x'.repeat(params.n);
    case 'spill': console.log('é'.repeat(params.n)); break;
  }
  return params;
};
)"};

/// A function and its executor.
class Subject {
 public:
  explicit Subject(const Language& language, const ExecutorProcess::Texts& environment = {})
      : language_(language), process_(language.start({{language.file, language.code}}, environment)) {}
  std::string body(const std::string& params, const std::string& more = "") const {
    return process_->call(language_.handler, params, more);
  }
  ExecutorAnswer call(const std::string& params, const std::string& more = "") const {
    return process_->invoke(body(params, more));
  }
  ExecutorProcess& process() const { return *process_; }

 private:
  const Language& language_;
  std::unique_ptr<ExecutorProcess> process_;
};

const Language& language() {
  const Language& chosen = *GENERATE(&kPython, &kNodejs);
  return chosen;
}

std::string repeated(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

bool python_only(const Language& language) { return &language == &kPython; }

}  // namespace

TEST_CASE("a Go node's request to the Python image is answered as its own image answers", "[image]") {
  const auto f = ExecutorProcess::python({{"hello.py",
                                           "def handler(params, context):\n"
                                           "    print('Executing function....')\n"
                                           "    return 'Hello, Serverledge!\\nParams: ' + str(params)\n"}});
  const std::string body =
      R"({"Command":["python","/entrypoint.py"],"Params":{"a":2},"Handler":"hello.handler","HandlerDir":")" +
      f->folder() + R"(","ReturnOutput":true})";
  // As Go's net/http sends it.
  const std::string request =
      "POST /invoke HTTP/1.1\r\nHost: 172.17.0.2:8080\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n" +
      body;
  RawPeer peer = f->connect();
  for (int i = 0; i < 2; ++i) {
    const std::string answer = peer.ask(request);
    CHECK(
        body_of(answer) ==
        R"({"Success":true,"Result":"\"Hello, Serverledge!\\nParams: {'a': 2}\"","Output":"Executing function....\n"})");
    CHECK_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"));
  }
}

TEST_CASE("a Go node's request to the Node.js image is answered as its own image answers", "[image]") {
  const auto f =
      ExecutorProcess::nodejs({{"hello2.js", "module.exports = (p, c) => ({ n: p.n, a: [1, 2.5] });\n"}});
  const ExecutorAnswer answer =
      f->invoke(R"({"Command":[],"Params":{"n":3},"Handler":"hello2","HandlerDir":")" + f->folder() +
                R"(","ReturnOutput":true})");
  CHECK(answer.status == 200);
  CHECK(answer.result == R"({"n":3,"a":[1,2.5]})");
  CHECK(answer.output.empty());
}

TEST_CASE("a function in an image gets its params and returns JSON", "[image]") {
  const Language& one = language();
  const Subject f(one);
  const std::string params = R"({"text":"h\u0000é 漢 😀 </script>","empty":{},"list":[[],null,true],"":1})";
  const ExecutorAnswer answer = f.call(params);
  CHECK(answer.success);
  CHECK(answer.result == params);
  for (const char* none : {"null", "{}"}) CHECK(f.call(none).result == "{}");
  const std::string without =
      R"({"Handler":")" + std::string(one.handler) + R"(","HandlerDir":")" + f.process().folder() + "\"}";
  CHECK(f.process().invoke(without).result == "{}");
}

TEST_CASE("an asynchronous handler in an image is awaited", "[image]") {
  CHECK(Subject(language()).call(R"({"do":"later"})").result == R"({"later":{"do":"later"}})");
}

TEST_CASE("a function in an image is told its context, by the image and by the call", "[image]") {
  const Subject f(language(), {{"CONTEXT", R"({"Region":"ROME","RequestId":"none"})"}});
  CHECK(f.call(R"({"do":"context"})").result == R"(["none","ROME",null])");
  const std::string told =
      f.call(R"({"do":"context"})", R"(,"Context":{"RequestId":"f-1","Deadline":30.5,"MemoryMB":128})")
          .result;
  CHECK_THAT(told, StartsWith(R"(["f-1","ROME",)"));
  CHECK(std::stod(told.substr(14)) > 0);
  CHECK(std::stod(told.substr(14)) <= 30.5);
}

TEST_CASE("what a function in an image prints is returned when asked for, also when it fails", "[image]") {
  const Subject f(language());
  CHECK(f.call(R"({"do":"print"})").output == "out é\nerr\n");
  const ExecutorAnswer failed = f.call(R"({"do":"raise"})");
  CHECK(failed.status == 200);
  CHECK_FALSE(failed.has_result);
  CHECK(failed.output == "before\n");
  std::string silent = f.body(R"({"do":"print"})");
  silent.replace(silent.find("true"), 4, "false");
  const ExecutorAnswer unasked = f.process().invoke(silent);
  CHECK(unasked.success);
  CHECK(unasked.output.empty());
}

TEST_CASE("an exception of a function in an image comes back with its traceback, and the executor lives on",
          "[image]") {
  const Language& one = language();
  const Subject f(one);
  RawPeer peer = f.process().connect();
  const ExecutorAnswer failed = parse_answer(peer.ask(post("/invoke", f.body(R"({"do":"raise"})"))));
  CHECK(failed.kind == "raised");
  CHECK(failed.message == (python_only(one) ? "ValueError: wrong" : "TypeError: wrong"));
  CHECK_THAT(failed.traceback, Contains(one.file) && !Contains("worker"));
  const ExecutorAnswer odd = parse_answer(peer.ask(post("/invoke", f.body(R"({"do":"odd"})"))));
  CHECK(odd.kind == "output");
  CHECK_THAT(odd.message, Contains("is not JSON"));
  CHECK(parse_answer(peer.ask(post("/invoke", f.body("{}")))).result == "{}");
}

TEST_CASE("output and results of a function in an image have limits that are told", "[image]") {
  const Subject f(language(), {{"EXECUTOR_OUTPUT_LIMIT", "11"}, {"EXECUTOR_RESULT_LIMIT", "100"}});
  CHECK(f.call(R"({"do":"spill","n":50})").output == "ééééé\n[output cut at 11 bytes]\n");
  CHECK(f.call(R"({"do":"size","n":98})").success);
  const ExecutorAnswer large = f.call(R"({"do":"size","n":99})");
  CHECK(large.kind == "output");
  CHECK_THAT(large.message, Contains("over the limit of 100"));
}

TEST_CASE("large params and results pass an image's executor whole", "[image]") {
  const Subject f(language());
  const std::string params = R"({"text":")" + std::string(5 << 20, 'z') + R"("})";
  CHECK(f.call(params).result == params);
}

TEST_CASE("a body over the limit is refused and not kept", "[image]") {
  const Subject f(language(), {{"EXECUTOR_BODY_LIMIT", "1000"}});
  RawPeer peer = f.process().connect();
  const ExecutorAnswer refused =
      parse_answer(peer.ask(post("/invoke", f.body(R"({"text":")" + std::string(100'000, 'z') + R"("})"))));
  CHECK(refused.status == 413);
  CHECK_THAT(refused.message, Contains("limit of 1000 bytes"));
  CHECK(f.call("{}").success);
}

TEST_CASE("one connection serves many calls of an image, one after the other", "[image]") {
  const Subject f(language());
  RawPeer peer = f.process().connect();
  for (int i = 0; i < 500; ++i) {
    const std::string params = "{\"n\":" + std::to_string(i) + "}";
    const ExecutorAnswer answer = parse_answer(peer.ask(post("/invoke", f.body(params))));
    REQUIRE(answer.result == params);
  }
}

TEST_CASE("pipelined requests to an image's executor are answered in their order", "[image]") {
  const Subject f(language());
  RawPeer peer = f.process().connect();
  std::string all;
  for (int i = 0; i < 20; ++i) all += post("/invoke", f.body("{\"n\":" + std::to_string(i) + "}"));
  REQUIRE(peer.send(all));
  for (int i = 0; i < 20; ++i)
    CHECK(parse_answer(peer.answer()).result == "{\"n\":" + std::to_string(i) + "}");
}

TEST_CASE("a request that comes byte by byte is read", "[image]") {
  const Subject f(language());
  RawPeer peer = f.process().connect();
  for (const char byte : post("/invoke", f.body("{}"))) REQUIRE(peer.send({&byte, 1}));
  CHECK(parse_answer(peer.answer()).result == "{}");
}

TEST_CASE("what is no HTTP gets a 4xx that says so, and the executor lives on", "[image]") {
  const Subject f(language());
  const std::vector<std::pair<std::string, int>> cases = {
      {"garbage\r\n\r\n", 400},
      {"POST /invoke HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST /invoke HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", 400},
      {"POST /invoke HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400},
      {"POST /invoke HTTP/1.1\r\nHost: h\r\nbad header\r\n\r\n", 400},
      {"POST /invoke HTTP/1.1\r\nHost: h\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n", 431},
  };
  for (const auto& [request, status] : cases) {
    CAPTURE(request.substr(0, 80));
    RawPeer peer = f.process().connect();
    peer.send(request);
    const ExecutorAnswer refused = parse_answer(peer.to_end());
    CHECK(refused.status == status);
    CHECK(refused.kind == "protocol");
    CHECK_FALSE(refused.message.empty());
  }
  for (int i = 0; i < 20; ++i) {
    RawPeer rude = f.process().connect();
    rude.send(post("/invoke", f.body("{}")).substr(0, static_cast<std::size_t>(20 * i)));
    if (i % 2 == 0) rude.reset();
  }
  CHECK(f.call("{}").success);
}

TEST_CASE("a request that is no call gets a 4xx, and its connection stays usable", "[image]") {
  const Language& one = language();
  const Subject f(one);
  RawPeer peer = f.process().connect();
  const auto refused = [&](const std::string& request, int status, const std::string& said) {
    CAPTURE(request.substr(0, 120));
    const ExecutorAnswer answer = parse_answer(peer.ask(request));
    CHECK(answer.status == status);
    CHECK(answer.kind == "protocol");
    CHECK_THAT(answer.message, Contains(said));
  };
  refused(post("/invoke", "{"), 400, "not JSON");
  refused(post("/invoke", ""), 400, "not JSON");
  refused(post("/invoke", "\xff"), 400, "UTF-8");
  refused(post("/invoke", "[1]"), 400, "JSON object");
  refused(post("/invoke", "{}"), 400, "Handler");
  refused(post("/invoke", R"({"Handler":3})"), 400, "Handler");
  refused(post("/invoke", R"({"Handler":"f","HandlerDir":[]})"), 400, "HandlerDir");
  refused(post("/invoke", f.body("{}", R"(,"Context":3)")), 400, "Context");
  refused(post("/other", f.body("{}")), 404, "/invoke");
  refused("GET /invoke HTTP/1.1\r\nHost: h\r\n\r\n", 405, "POST");
  CHECK(parse_answer(peer.ask(post("/invoke", f.body("{}")))).success);
}

TEST_CASE("params that are nested a hundred thousand deep do not end an image's executor", "[image]") {
  const Subject f(language());
  const std::string deep = R"({"a":)" + repeated("[", 100'000) + repeated("]", 100'000) + "}";
  const ExecutorAnswer answer = f.call(deep);
  CHECK_FALSE(answer.success);
  CHECK(f.call("{}").success);
}

TEST_CASE("a peer that wants no kept connection gets its answer and the end", "[image]") {
  const Subject f(language());
  const std::string body = f.body("{}");
  for (const std::string head : {"POST /invoke HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: ",
                                 "POST /invoke HTTP/1.0\r\nContent-Length: "}) {
    RawPeer peer = f.process().connect();
    peer.send(head + std::to_string(body.size()) + "\r\n\r\n" + body);
    CHECK(parse_answer(peer.to_end()).result == "{}");
  }
}

TEST_CASE("an answer of an image's executor names the call that it is of", "[image]") {
  const Subject f(language());
  RawPeer peer = f.process().connect();
  CHECK_THAT(peer.ask(named_post("0a1B", f.body("{}"))), Contains("\r\nServerledge-Call: 0a1B\r\n"));
  CHECK_THAT(peer.ask(named_post("0a1C", f.body(R"({"do":"raise"})"))),
             Contains("Serverledge-Call: 0a1C\r\n"));
  CHECK_THAT(peer.ask(post("/invoke", f.body("{}"))), !Contains("Serverledge-Call"));
  for (const std::string& odd : {std::string("0a:1"), std::string(65, 'x'), std::string("0a\xe9")}) {
    CHECK_THAT(peer.ask(named_post(odd, f.body("{}"))), !Contains("Serverledge-Call"));
  }
}

TEST_CASE("a peer that asks first whether to send the body is told to", "[image]") {
  const Subject f(language());
  const std::string body = f.body("{}");
  RawPeer peer = f.process().connect();
  const std::string told =
      peer.ask("POST /invoke HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n\r\n");
  CHECK_THAT(told, StartsWith("HTTP/1.1 100"));
  CHECK(parse_answer(peer.ask(body)).result == "{}");
}

TEST_CASE("a chunked body is read by Node.js, and refused by Python with what it needs", "[image]") {
  const Language& one = language();
  const Subject f(one);
  RawPeer peer = f.process().connect();
  peer.send(
      "POST /invoke HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: "
      "chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
  const ExecutorAnswer answer = parse_answer(peer.to_end());
  CHECK(answer.status == (python_only(one) ? 411 : 400));
  CHECK_THAT(answer.message, Contains(python_only(one) ? "Content-Length" : "Handler"));
}

TEST_CASE("calls on several connections run at the same time in one container", "[image]") {
  const Subject f(language());
  RawPeer first = f.process().connect();
  RawPeer second = f.process().connect();
  const std::string meet = post("/invoke", f.body(R"({"do":"meet"})"));
  REQUIRE(first.send(meet));
  REQUIRE(second.send(meet));
  CHECK(parse_answer(first.answer()).success);
  CHECK(parse_answer(second.answer()).success);
}

TEST_CASE(
    "a function that does not load is told with the reason, by /load and by /invoke, and may load later",
    "[image]") {
  const Language& one = language();
  const bool python = python_only(one);
  const Subject f(one);
  const ExecutorProcess& process = f.process();
  CHECK(process.post("/load", process.call(one.handler)).success);
  for (const char* path : {"/load", "/invoke"}) {
    const ExecutorAnswer none = process.post(path, process.call(python ? "late.handler" : "late"));
    CHECK(none.status == 200);
    CHECK(none.kind == "start");
    CHECK_THAT(none.message, Contains("late"));
  }
  const std::string file = process.folder() + (python ? "/late.py" : "/late.js");
  std::ofstream(file) << (python ? "raise OSError('on import')\n" : "throw new RangeError('on import');\n");
  const ExecutorAnswer raised = process.post("/load", process.call(python ? "late.handler" : "late"));
  CHECK(raised.kind == "start");
  CHECK(raised.message == (python ? "OSError: on import" : "RangeError: on import"));
  CHECK_THAT(raised.traceback, Contains("late"));
  std::ofstream(file) << (python ? "def handler(p, c):\n    return 'loaded at last'\n"
                                 : "exports.handler = () => 'loaded at last';\n");
  CHECK(process.invoke(process.call(python ? "late.handler" : "late")).result == "\"loaded at last\"");
}

TEST_CASE("a function that ends its process ends the connection without an answer", "[image]") {
  const Subject f(language());
  RawPeer peer = f.process().connect();
  CHECK(peer.ask(post("/invoke", f.body(R"({"do":"exit"})"))).empty());
  CHECK(WEXITSTATUS(f.process().wait()) == 3);
}

TEST_CASE("peers that connect and say nothing disturb no call", "[image]") {
  const Subject f(language());
  std::vector<RawPeer> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(f.process().connect());
  CHECK(f.call("{}").success);
  silent.clear();
  CHECK(f.call("{}").success);
}

TEST_CASE("a setting of an image's executor that is wrong is named", "[image]") {
  const Language& one = language();
  CHECK_THAT(one.start({}, {{"EXECUTOR_OUTPUT_LIMIT", "1M"}})->complaint(),
             Contains("EXECUTOR_OUTPUT_LIMIT"));
  CHECK_THAT(one.start({}, {{"CONTEXT", "[1]"}})->complaint(), Contains("CONTEXT"));
}

TEST_CASE("a Python handler in an image runs in the main thread, where signals work, call after call",
          "[image]") {
  const auto f =
      ExecutorProcess::python({{"f.py",
                                "import threading\n"
                                "def handler(p, c):\n"
                                "    return threading.current_thread() is threading.main_thread()\n"}});
  const std::string request = post("/invoke", f->call("f.handler"));
  const RawPeer silent = f->connect();
  for (int i = 0; i < 20; ++i) {
    RawPeer peer = f->connect();
    for (int j = 0; j < 3; ++j) CHECK(parse_answer(peer.ask(request)).result == "true");
  }
}

TEST_CASE("a child that a Python handler in an image forks and lets return answers nothing", "[image]") {
  const auto f = ExecutorProcess::python({{"f.py",
                                           "import os\n"
                                           "def handler(p, c):\n"
                                           "    pid = os.fork()\n"
                                           "    if pid == 0: return 'child'\n"
                                           "    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"}});
  RawPeer peer = f->connect();
  for (int i = 0; i < 3; ++i)
    CHECK(parse_answer(peer.ask(post("/invoke", f->call("f.handler")))).result == "0");
}

TEST_CASE("params with an integer that Python refuses to read are the function's error", "[image]") {
  const Subject f(kPython);
  const ExecutorAnswer answer = f.call("{\"a\":" + std::string(5000, '9') + "}");
  CHECK(answer.kind == "raised");
  CHECK_THAT(answer.message, StartsWith("ValueError: Exceeds the limit"));
}
