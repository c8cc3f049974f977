#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "worker_process.hpp"

// What the workers of both languages must do alike.

using namespace serverledge;
using Catch::Contains;
using test::WorkerProcess;

namespace {

/// The same function in both languages.
struct Sources {
  std::string python;
  std::string nodejs;
  int slots = 1;
  FrameLimits limits = {};
};

std::unique_ptr<WorkerProcess> worker_of(const std::string& language, const Sources& sources) {
  if (language == "nodejs")
    return WorkerProcess::nodejs(
        {.files = {{"f.js", sources.nodejs}}, .handler = "f", .limits = sources.limits});
  return WorkerProcess::python({.files = {{"f.py", sources.python}},
                                .handler = "f.handler",
                                .slots = sources.slots,
                                .limits = sources.limits});
}

}  // namespace

TEST_CASE("a result that is nested too deeply or too large is an error, and the worker lives on",
          "[python][nodejs]") {
  const std::string language = GENERATE("python", "nodejs");
  CAPTURE(language);
  const auto f = worker_of(language, {.python = "def handler(p, c):\n"
                                                "    if 'size' in p: return 'x' * p['size']\n"
                                                "    value = 1\n"
                                                "    for _ in range(p['depth']): value = [value]\n"
                                                "    return value\n",
                                      .nodejs = "module.exports = (p) => {\n"
                                                "  if (p.size) return 'x'.repeat(p.size);\n"
                                                "  let value = 1;\n"
                                                "  for (let i = 0; i < p.depth; i++) value = [value];\n"
                                                "  return value;\n};\n",
                                      .limits = {.result_bytes = 2000}});
  CHECK(f->result(R"({"depth":512})") == std::string(512, '[') + "1" + std::string(512, ']'));
  CHECK_THAT(f->failure(R"({"depth":513})").message, Contains("nested deeper than 512 levels"));
  CHECK_THAT(f->failure(R"({"depth":100000})").message, Contains("nested deeper than 512 levels"));
  CHECK(f->result(R"({"size":1998})").size() == 2000);
  CHECK(f->failure(R"({"size":1999})") ==
        Failure{FailureKind::kOutput, "result: 2001 bytes of JSON are over the limit of 2000", ""});
}

TEST_CASE("large params and results pass a worker whole", "[python][nodejs]") {
  const std::string language = GENERATE("python", "nodejs");
  CAPTURE(language);
  const auto f = worker_of(language, {.python = "def handler(p, c):\n    return p['a']\n",
                                      .nodejs = "module.exports = (p) => p.a;\n"});
  const std::string text = '"' + std::string(5 << 20, 'z') + '"';
  CHECK(f->result("{\"a\":" + text + "}") == text);
}

TEST_CASE("a failed call gives back what it printed before", "[python][nodejs]") {
  const std::string language = GENERATE("python", "nodejs");
  CAPTURE(language);
  const auto f = worker_of(
      language,
      {.python = "def handler(p, c):\n    print('before')\n    return p['r'] and {1}\n",
       .nodejs = "module.exports = (p) => { console.log('before'); if (p.r) return 1n; throw 1; };\n"});
  for (const char* params : {R"({"r":true})", "{}"}) {
    const auto answer = f->call(params, true);
    REQUIRE(answer);
    CHECK(answer->failure);
    CHECK(answer->output == "before\n");
  }
}

TEST_CASE("captured output is cut at the limit between characters, and marked", "[python][nodejs]") {
  const std::string language = GENERATE("python", "nodejs");
  CAPTURE(language);
  const auto f = worker_of(
      language,
      {.python = "import sys\n"
                 "def handler(p, c):\n    for text in p['texts']: sys.stdout.write(text)\n    return 1\n",
       .nodejs = "module.exports = (p) => { for (const t of p.texts) process.stdout.write(t); return 1; };\n",
       .limits = {.output_bytes = 10}});
  const auto output = [&](const std::string& texts) {
    const auto answer = f->call("{\"texts\":" + texts + "}", true);
    REQUIRE(answer);
    return std::pair(answer->output, answer->output_cut);
  };
  CHECK(output(R"(["0123456789"])") == std::pair(std::string("0123456789"), false));
  CHECK(output(R"(["0123456789",""])") == std::pair(std::string("0123456789"), false));
  CHECK(output(R"(["0123456789","a"])") == std::pair(std::string("0123456789"), true));
  CHECK(output(R"(["0123456789a"])") == std::pair(std::string("0123456789"), true));
  CHECK(output(R"(["012345678é"])") == std::pair(std::string("012345678"), true));
  CHECK(output(R"(["01234567😀","more"])") == std::pair(std::string("01234567"), true));
  CHECK(output(R"(["012345😀"])") == std::pair(std::string("012345😀"), false));
  CHECK(output(R"([])") == std::pair(std::string(), false));
}

TEST_CASE("printing 100 MB harms no worker, captured or not", "[python][nodejs]") {
  const std::string language = GENERATE("python", "nodejs");
  CAPTURE(language);
  const auto f =
      worker_of(language,
                {.python = "import sys\n"
                           "def handler(p, c):\n"
                           "    line = 'x' * 1000\n"
                           "    for _ in range(100_000): print(line)\n"
                           "    sys.stdout.write('y' * 100_000_000)\n"  // itself 100 MB
                           "    peak = open('/proc/self/status').read().split('VmHWM:')[1].split()[0]\n"
                           "    return int(peak) < 200_000\n",
                 .nodejs = "module.exports = () => {\n"
                           "  const line = 'x'.repeat(1000);\n"
                           "  for (let i = 0; i < 100_000; i++) console.log(line);\n"
                           "  process.stdout.write('y'.repeat(100_000_000));\n"
                           "  return process.memoryUsage().rss < 400e6;\n};\n"});
  for (const bool capture : {false, true}) {
    const auto answer = f->call("{}", capture);
    REQUIRE(answer);
    CHECK(answer->result == "true");
    CHECK(answer->output.size() == (capture ? 1 << 20 : 0));
    CHECK(answer->output_cut == capture);
  }
}

TEST_CASE("calls on several connections run at once in one worker, each with its own output",
          "[python][nodejs]") {
  const std::string language = GENERATE("python", "nodejs");
  CAPTURE(language);
  const auto f = worker_of(
      language, {.python = "import threading\n"
                           "barrier = threading.Barrier(4)\n"
                           "def handler(p, c):\n"
                           "    print('a', p['n']); barrier.wait(); print('b', p['n']); barrier.wait()\n"
                           "    return p['n']\n",
                 .nodejs = "let here = 0, open; const all = new Promise((resolve) => { open = resolve; });\n"
                           "module.exports = async (p) => {\n"
                           "  console.log('a', p.n); if (++here === 4) open(); await all; console.log('b', "
                           "p.n); return p.n;\n"
                           "};\n",
                 .slots = 4});
  std::vector<FrameConnection> connections;
  for (int i = 1; i < 4; ++i) connections.push_back(f->connect());
  std::vector<std::string> got(4);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 4; ++i) {
    FrameConnection* connection = i == 0 ? &f->connection() : &connections[i - 1];
    threads.emplace_back([&got, connection, i] {
      const std::string params = "{\"n\":" + std::to_string(i) + "}";
      const auto answer =
          connection->call({.id = 1000 + i, .context = "{}", .params = params, .capture_output = true},
                           later(system_clock().now(), std::chrono::seconds(40)));
      if (answer) got[i] = answer->result + ' ' + answer->output;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < 4; ++i) {
    const std::string n = std::to_string(i);
    CHECK(got[i] == n + " a " + n + "\nb " + n + "\n");
  }
}

TEST_CASE("a connection may be replaced, and the worker serves the next one", "[python][nodejs]") {
  const std::string language = GENERATE("python", "nodejs");
  CAPTURE(language);
  const auto f = worker_of(
      language, {.python = "def handler(p, c):\n    return 1\n", .nodejs = "module.exports = () => 1;\n"});
  CHECK(f->result() == "1");
  { const FrameConnection dropped = std::move(f->connection()); }
  FrameConnection next = f->connect();
  const auto answer = f->call_on(next, "{}");
  REQUIRE(answer);
  CHECK(answer->result == "1");
}
