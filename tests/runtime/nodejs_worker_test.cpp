#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "worker_process.hpp"

using namespace serverledge;
using Catch::Contains;
using Catch::StartsWith;
using test::expression;
using test::patience;
using test::WorkerProcess;

namespace {

// A worker of one CommonJS module.
std::unique_ptr<WorkerProcess> nodejs_worker(const std::string& code) {
  return WorkerProcess::nodejs({.files = {{"f.js", code}}, .handler = "f"});
}

// A handler that returns what a JavaScript expression in the params gives.
std::unique_ptr<WorkerProcess> nodejs_evaluator() {
  return nodejs_worker(
      "class Own { constructor() { this.a = 1; } }\n"
      "module.exports = (params) => eval('(' + params.e + ')');\n");
}

}  // namespace

TEST_CASE("a Node.js function gets its params and its context and returns JSON", "[nodejs]") {
  const auto f = nodejs_worker(
      "module.exports = (params, context) => [params, context.RequestId, context.Function, "
      "context.MemoryMB,\n"
      "  context.Traceparent, context.RemainingSeconds > 29 && context.RemainingSeconds <= 30.5,\n"
      "  'Deadline' in context, Object.keys(context).includes('RemainingSeconds')];\n");
  const auto runtime = f->ready();
  REQUIRE(runtime);
  CHECK_THAT(*runtime, StartsWith("Node.js "));
  CHECK(f->result(R"({"a":2})") == R"([{"a":2},"f-1","f",128,"00-1-2-03",true,false,true])");
}

TEST_CASE("params reach a Node.js function as JSON.parse gives them", "[nodejs]") {
  const auto f = nodejs_worker("module.exports = (p) => p;\n");
  const std::string params =
      R"({"float":1.5,"text":"h\u0000é 漢 😀 </script>","empty":{},"list":[[],null,true],"":1,"ключ":"\"\\\n"})";
  CHECK(f->result(params) == params);
  CHECK(f->result(R"({"big":9007199254740993,"a":1,"a":2})") == R"({"big":9007199254740992,"a":2})");
  CHECK(f->result(R"({"__proto__":{"x":1}})") == R"({"__proto__":{"x":1}})");
}

TEST_CASE("what Node.js returns becomes one JSON text", "[nodejs]") {
  const auto f = nodejs_evaluator();
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"undefined", "null"},
      {"null", "null"},
      {"-0.5", "-0.5"},
      {"'é\\\\n'", "\"é\\n\""},
      {"[1, [2], {a: []}]", "[1,[2],{\"a\":[]}]"},
      {"{a: undefined, b: 1}", "{\"b\":1}"},
      {"new Date(0)", "\"1970-01-01T00:00:00.000Z\""},
      {"new Own()", "{\"a\":1}"},
      {"Object.assign(Object.create(null), {x: 1})", "{\"x\":1}"},
      {"[new Number(1), new String('s'), new Boolean(false)]", "[1,\"s\",false]"},
      {"{toJSON() { return [1]; }}", "[1]"},
      {"'\\\\\\\\ud800'", "\"\\\\ud800\""},
      {"(() => { const s = {}; return [s, s]; })()", "[{},{}]"},
  };
  for (const auto& [text, json] : cases) {
    CAPTURE(text);
    CHECK(f->result(expression(text)) == json);
  }
}

TEST_CASE("what Node.js returns and is not JSON is an error that names its type and place", "[nodejs]") {
  const auto f = nodejs_evaluator();
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"NaN", "result: NaN is not JSON"},
      {"{x: [1, -Infinity]}", "result.x[1]: -Infinity is not JSON"},
      {"10n", "result: BigInt is not JSON"},
      {"{items: [0, 1, 2, 3n]}", "result.items[3]: BigInt is not JSON"},
      {"() => 1", "result: function is not JSON"},
      {"{'a b': () => 1}", "result[\"a b\"]: function is not JSON"},
      {"[Symbol('s')]", "result[0]: symbol is not JSON"},
      {"[undefined]", "result[0]: undefined is not JSON"},
      {"new Map([[1, 2]])", "result: Map is not JSON"},
      {"{s: new Set()}", "result.s: Set is not JSON"},
      {"new WeakMap()", "result: WeakMap is not JSON"},
      {"Buffer.from('x')", "result: Buffer is not JSON"},
      {"new Uint8Array(1)", "result: Uint8Array is not JSON"},
      {"new ArrayBuffer(1)", "result: ArrayBuffer is not JSON"},
      {"[Promise.resolve(1)]", "result[0]: Promise is not JSON"},
      {"/x/", "result: RegExp is not JSON"},
      {"new TypeError('x')", "result: TypeError is not JSON"},
      {"new Date(NaN)", "result: Invalid Date is not JSON"},
      {"new Number(NaN)", "result: NaN is not JSON"},
      {"{toJSON() { return {a: 1n}; }}", "result.a: BigInt is not JSON"},
      {"{toJSON() {}}", "result: toJSON gave undefined, which is not JSON"},
      {"['ok', 'x\\\\ud800']", "result[1]: a string with a lone surrogate is not JSON"},
      {"{'\\\\udfff': 1}", "result: a key with a lone surrogate (\"\\udfff\") is not JSON"},
      {"(() => { const a = {}; a.x = [a]; return a; })()",
       "result.x[0]: an object that contains itself is not JSON"},
      {"{get a() { throw new Error('getter'); }}", "result: encoding it threw Error: getter"},
  };
  for (const auto& [text, message] : cases) {
    CAPTURE(text);
    CHECK(f->failure(expression(text)) == Failure{FailureKind::kOutput, message, ""});
  }
}

TEST_CASE("what a Node.js function throws comes back with name, message and its own stack alone",
          "[nodejs]") {
  const auto f = nodejs_worker(
      "const inner = (kind) => {\n"
      "  if (kind === 'null') return null.x;\n"
      "  if (kind === 'text') throw 'just text';\n"
      "  if (kind === 'nothing') throw undefined;\n"
      "  if (kind === 'long') throw new RangeError('m'.repeat(1e8));\n"
      "  if (kind === 'surrogate') throw new Error('\\ud800');\n"
      "  if (kind === 'file') require('fs').readFileSync('/nothing/such');\n"
      "  if (kind === 'nasty') throw Object.defineProperty(new Error(), 'message', {get() { throw 1; }});\n"
      "  throw new Error('outer', {cause: new TypeError('inner')});\n"
      "};\n"
      "module.exports = (p) => inner(p.kind);\n");
  const Failure null = f->failure(R"({"kind":"null"})");
  CHECK(null.kind == FailureKind::kRaised);
  CHECK(null.message == "TypeError: Cannot read properties of null (reading 'x')");
  CHECK_THAT(null.traceback, StartsWith(null.message + "\n    at inner (" + f->folder() + "/f.js:2:"));
  CHECK_THAT(null.traceback, Contains("f.js:11:") && !Contains("worker") && !Contains("node:"));
  CHECK(f->failure(R"({"kind":"text"})") == Failure{FailureKind::kRaised, "thrown: 'just text'", ""});
  CHECK(f->failure(R"({"kind":"nothing"})").message == "thrown: undefined");
  const Failure lengthy = f->failure(R"({"kind":"long"})");
  CHECK_THAT(lengthy.message, StartsWith("RangeError: mmm") && Catch::EndsWith("... (cut)"));
  CHECK(lengthy.message.size() < 70000);
  CHECK(f->failure(R"({"kind":"surrogate"})").message == "Error: \xef\xbf\xbd");
  const Failure file = f->failure(R"({"kind":"file"})");
  CHECK_THAT(file.message, StartsWith("Error: ENOENT"));
  CHECK_THAT(file.traceback,
             Contains("node:fs") && Contains("f.js:7:") && Contains("code: 'ENOENT'") && !Contains("worker"));
  CHECK(f->failure(R"({"kind":"nasty"})").message == "Error: <message could not be read>");
  const Failure chained = f->failure(R"({"kind":"chained"})");
  CHECK(chained.message == "Error: outer");
  CHECK_THAT(chained.traceback, Contains("[cause]: TypeError: inner") && !Contains("worker"));
}

TEST_CASE("a Promise or other thenable is awaited", "[nodejs]") {
  const auto f = nodejs_worker(
      "const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));\n"
      "async function late(p) { await sleep(1); if (p.fail) throw new RangeError('inside'); return [p]; }\n"
      "module.exports = (p) => {\n"
      "  if (p.then) return {then(resolve) { setImmediate(resolve, 'thenable'); }};\n"
      "  if (p.odd) return {then() { throw new Error('then'); }};\n"
      "  return late(p);\n};\n");
  CHECK(f->result(R"({"a":1})") == R"([{"a":1}])");
  CHECK(f->result(R"({"then":1})") == "\"thenable\"");
  CHECK(f->failure(R"({"odd":1})").message == "Error: then");
  const Failure failure = f->failure(R"({"fail":1})");
  CHECK(failure.message == "RangeError: inside");
  CHECK_THAT(failure.traceback, Contains("at async") || Contains("at late"));
  CHECK_THAT(failure.traceback, !Contains("worker"));
}

TEST_CASE("process.exit in a Node.js handler ends the process with that status", "[nodejs]") {
  const auto ended = [](const std::string& statement) {
    const auto f = nodejs_worker("module.exports = async () => { " + statement + " };\n");
    const auto answer = f->call();
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == ErrorCode::kUnavailable);
    return f->wait();
  };
  CHECK(WEXITSTATUS(ended("process.exit(3);")) == 3);
  CHECK(WEXITSTATUS(ended("process.exitCode = 4; process.exit();")) == 4);
  CHECK(WEXITSTATUS(ended("await null; process.exit();")) == 0);
  CHECK(WTERMSIG(ended("process.abort();")) == SIGABRT);
  CHECK(WTERMSIG(ended("process.kill(process.pid, 'SIGKILL');")) == SIGKILL);
}

TEST_CASE("what a Node.js call prints is captured, from its timers and promises too", "[nodejs]") {
  const auto f = nodejs_worker(
      "console.log('import');\n"
      "const { pipeline } = require('stream/promises');\n"
      "module.exports = async (p) => {\n"
      "  console.log('é', p.n); console.error('err'); console.table([[1]]);\n"
      "  process.stdout.write(new Uint8Array(Buffer.from('bytes\\n')));\n"
      "  process.stdout.write('6869', 'hex');\n"
      "  await new Promise((resolve) => process.stdout.write('\\n', resolve));\n"
      "  await new Promise((resolve) => setTimeout(() => { console.log('timer'); resolve(); }, 1));\n"
      "  await Promise.resolve().then(() => console.log('promise'));\n"
      "  queueMicrotask(() => console.log('micro')); await null;\n"
      "  require('fs').writeSync(1, 'raw');\n};\n");
  for (const std::string n : {"1", "2"}) {
    const auto answer = f->call("{\"n\":" + n + "}", true);
    REQUIRE(answer);
    INFO((answer->failure ? answer->failure->message : ""));
    CHECK_FALSE(answer->failure);
    CHECK_THAT(answer->output,
               StartsWith("é " + n + "\nerr\n┌") && Catch::EndsWith("bytes\nhi\ntimer\npromise\nmicro\n"));
  }
  const auto silent = f->call("{\"n\":3}", false);
  REQUIRE(silent);
  CHECK(silent->output.empty());
}

TEST_CASE("what is printed past a finished Node.js call reaches no other call", "[nodejs]") {
  const auto f = nodejs_worker(
      "let go; const wait = new Promise((resolve) => { go = resolve; });\n"
      "module.exports = async (p) => {\n"
      "  if (p.start) { wait.then(() => console.log('late')); return; }\n"
      "  go(); await new Promise(setImmediate); console.log('second');\n};\n");
  REQUIRE(f->call(R"({"start":1})", true));
  const auto second = f->call("{}", true);
  REQUIRE(second);
  CHECK(second->output == "second\n");
}

TEST_CASE("what nobody caught fails the Node.js call that it comes from, and no other", "[nodejs]") {
  const auto f = nodejs_worker(
      "const { setTimeout: sleep } = require('timers/promises');\n"
      "let other;\n"
      "module.exports = async (p) => {\n"
      "  if (p.kind === 'wait') { await new Promise((resolve) => { other = resolve; }); return 'unharmed'; "
      "}\n"
      "  if (p.kind === 'release') { other(); return 'released'; }\n"
      "  if (p.kind === 'timer') setTimeout(() => { throw new Error('in timer'); }, 1);\n"
      "  if (p.kind === 'emitter') setImmediate(() => require('events').prototype.emit.call({}, 'error', new "
      "Error('event')));\n"
      "  if (p.kind === 'floating') Promise.reject(new Error('floating'));\n"
      "  await new Promise(() => {});\n};\n");
  FrameConnection second = f->connect();
  std::string waited;
  std::thread waiting([&] {
    const auto answer =
        second.call({.id = 1000, .context = "{}", .params = R"({"kind":"wait"})"}, patience());
    waited = answer ? answer->result : answer.error().message;
  });
  CHECK(f->failure(R"({"kind":"timer"})").message == "Error: in timer");
  CHECK(f->failure(R"({"kind":"emitter"})").message == "Error: event");
  CHECK(f->failure(R"({"kind":"floating"})").message == "Error: floating");
  while (true) {  // until the waiting call has begun
    const auto answer = f->call(R"({"kind":"release"})");
    REQUIRE(answer);
    if (!answer->failure) break;
  }
  waiting.join();
  CHECK(waited == "\"unharmed\"");
}

TEST_CASE("an error that a Node.js call leaves behind does not touch the next", "[nodejs]") {
  const auto f = nodejs_worker(
      "let fail;\n"
      "module.exports = async (p) => {\n"
      "  if (p.start) { new Promise((_, reject) => { fail = reject; }); return 1; }\n"
      "  fail(new Error('late')); await new Promise((resolve) => setTimeout(resolve, 5)); return 2;\n};\n");
  CHECK(f->result(R"({"start":1})") == "1");
  CHECK(f->result() == "2");
}

TEST_CASE("a Node.js handler may be CommonJS or an ES module, a function, a handler or a default export",
          "[nodejs]") {
  const std::map<std::string, std::string> files = {
      {"plain.js", "module.exports = () => ['plain', require('fs').readFileSync('data.txt', 'utf8')];\n"},
      {"named.js", "exports.handler = () => 'named';\n"},
      {"transpiled.js", "exports.__esModule = true; exports.default = () => 'transpiled';\n"},
      {"common.cjs", "module.exports = () => 'common';\n"},
      {"module.mjs", "import { x } from './lib.mjs';\nexport default () => ['module', x];\n"},
      {"lib.mjs", "export const x = await Promise.resolve(5);\n"},
      {"namedmodule.mjs", "export const handler = () => 'named module';\n"},
      {"typed/package.json", "{\"type\":\"module\"}"},
      {"typed/f.js", "export function handler() { return 'typed'; }\n"},
      {"folder/index.js", "module.exports = () => 'folder';\n"},
      {"package/package.json", "{\"main\":\"lib/main.js\"}"},
      {"package/lib/main.js", "module.exports = () => require('dep');\n"},
      {"package/node_modules/dep/index.js", "module.exports = 'dep';\n"},
      {"worker_result.js", "module.exports = () => 'mine';\n"},
      {"data.txt", "data"}};
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"plain", R"(["plain","data"])"}, {"plain.js", R"(["plain","data"])"},
      {"named", "\"named\""},           {"transpiled", "\"transpiled\""},
      {"common", "\"common\""},         {"module", "[\"module\",5]"},
      {"module.mjs", "[\"module\",5]"}, {"namedmodule", "\"named module\""},
      {"typed/f", "\"typed\""},         {"folder", "\"folder\""},
      {"package", "\"dep\""},           {"worker_result", "\"mine\""}};
  for (const auto& [handler, json] : cases) {
    CAPTURE(handler);
    CHECK(WorkerProcess::nodejs({.files = files, .handler = handler})->result() == json);
  }
}

TEST_CASE("a Node.js handler that does not load is refused with the reason, and the worker ends",
          "[nodejs]") {
  struct Case {
    std::string code;
    std::string handler;
    std::string message;
    std::string traceback;
  };
  const std::vector<Case> cases = {
      {"", "g", "handler \"g\" names no module: there is no g.js, .mjs or .cjs", ""},
      {"module.exports = 3;\n", "f", "handler \"f\" exports no function", ""},
      {"require('nothing-such');\n", "f", "Error: Cannot find module 'nothing-such'", "f.js:1:"},
      {"module.exports = (;\n", "f", "SyntaxError: ", "f.js:1"},
      {"null.x;\n", "f", "TypeError: Cannot read properties of null", "f.js:1:"},
      {"throw 7;\n", "f", "thrown: 7", ""},
  };
  for (const Case& one : cases) {
    CAPTURE(one.code, one.handler);
    const auto f = WorkerProcess::nodejs({.files = {{"f.js", one.code}}, .handler = one.handler});
    const auto started = f->ready();
    REQUIRE_FALSE(started);
    CHECK(started.error().code == ErrorCode::kFunctionFailed);
    CHECK_THAT(started.error().message, StartsWith(one.message));
    CHECK_THAT(started.error().detail, Contains(one.traceback) && !Contains("worker.js:"));
    CHECK(WEXITSTATUS(f->wait()) == 1);
  }
  const auto exits = nodejs_worker("process.exit(5);\n");
  const auto started = exits->ready();
  REQUIRE_FALSE(started);
  CHECK(started.error().code == ErrorCode::kUnavailable);
  CHECK(WEXITSTATUS(exits->wait()) == 5);
}

TEST_CASE("a Node.js handler that replaces globals or closes the channel harms itself alone", "[nodejs]") {
  const auto global = nodejs_worker(
      "JSON.stringify = JSON.parse = () => 'broken'; process.exit = () => {}; Promise.resolve = null;\n"
      "module.exports = async (p) => p;\n");
  CHECK(global->result(R"({"a":1})") == R"({"a":1})");
  const auto closing = nodejs_worker(
      "module.exports = () => { for (let fd = 3; fd < 64; fd++) try { require('fs').closeSync(fd); } catch "
      "{} };\n");
  const auto answer = closing->call();
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::kUnavailable);
}

TEST_CASE("garbage on the channel of a Node.js worker breaks the protocol", "[nodejs]") {
  const auto f = nodejs_worker(
      "module.exports = () => { for (let fd = 3; fd < 64; fd++) try { require('fs').writeSync(fd, "
      "'x'.repeat(100)); } catch {} return 1; };\n");
  const auto answer = f->call();
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code != ErrorCode::kDeadline);
}
