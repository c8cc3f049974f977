// What the Go implementation is known to break, shown to hold on a real node with real functions.
#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <vector>

#include "net/raw_peer.hpp"
#include "support/answers.hpp"
#include "support/call_gate.hpp"
#include "support/node_process.hpp"

namespace serverledge::test {
namespace {

using Settings = std::map<std::string, std::string>;

NodeProcess::Options with(const Settings& settings) {
  // Without stock, so that what is held can be counted.
  Settings all{{"sandbox.network", "host"}, {"sandbox.stock.nodejs", "0"}, {"sandbox.stock.python", "0"}};
  for (const auto& [key, value] : settings) all[key] = value;
  return {all, {}};
}

std::string memory(int megabytes) { return "\"MemoryMB\":" + std::to_string(megabytes); }

std::string named(const std::string& name, const std::string& fields = {}) {
  return R"({"Params":{"name":")" + name + "\"}" + (fields.empty() ? "" : "," + fields) + "}";
}

int status_number(const NodeProcess& node, const std::string& key) {
  return std::stoi(member(node.get("/status"), key));
}

int warm(const NodeProcess& node, const std::string& function) {
  const HttpResponse status = node.get("/status");
  const JsonDocument document = JsonDocument::parse(status.body).value();
  const auto count = document.root().find("AvailableWarmContainers")->find(function);
  return count ? static_cast<int>(count->as_int().value()) : -1;
}

/// Whether the node holds no more memory than its idle containers need.
bool nothing_held(const NodeProcess& node, int idle_memory) {
  return eventually([&] {
    return status_number(node, "AvailableMemory") == status_number(node, "TotalMemory") &&
           status_number(node, "FreeMemory") == status_number(node, "TotalMemory") - idle_memory &&
           status_number(node, "UsedCPU") == 0;
  });
}

/// Whether a call that would wait is refused because others hold all places in the queue.
bool queue_is_full(const NodeProcess& node, const std::string& function) {
  const HttpResponse probe = node.post("/invoke/" + function, R"({"QoSMaxRespT":0.005})");
  return text_member(probe, "Error").find("full") != std::string::npos;
}

/// A call that comes again as long as there is no place for it.
class PersistentCaller {
 public:
  PersistentCaller(const NodeProcess& node, const std::string& function, const std::string& body)
      : thread_([this, &node, path = "/invoke/" + function, body] {
          eventually([&] { return (answer_ = node.post(path, body)).status != 429; });
        }) {}
  const HttpResponse& answer() {
    if (thread_.joinable()) thread_.join();
    return answer_;
  }

 private:
  HttpResponse answer_;
  std::jthread thread_;
};

}  // namespace

TEST_CASE("row 1: 400 concurrent asynchronous calls of different functions all return their own result",
          "[integration]") {
  const NodeProcess node(with({}));
  constexpr int kFunctions = 8;
  constexpr int kCalls = 400;
  for (int index = 0; index < kFunctions; ++index) {
    const std::string name = "f" + std::to_string(index);
    const std::string python =
        "import time\ndef handler(params, context):\n    time.sleep(0.02)\n    return ['" + name +
        "', params['call'], context['RequestId']]\n";
    const std::string javascript =
        "exports.handler = (params, context) => new Promise((resolve) => setTimeout(() => "
        "resolve(['" +
        name + "', params.call, context.RequestId]), 20));";
    if (index % 2 == 0) {
      node.create_python(name, python, memory(64));
    } else {
      node.create_javascript(name, javascript, memory(64) + ",\"MaxConcurrency\":4");
    }
  }
  const std::vector<HttpResponse> accepted = post_at_once(node, kCalls, [](int call) {
    return std::pair("/invoke/f" + std::to_string(call % kFunctions),
                     R"({"Async":true,"Params":{"call":)" + std::to_string(call) + "}}");
  });
  for (int call = 0; call < kCalls; ++call) {
    const HttpResponse& first = accepted[static_cast<std::size_t>(call)];
    const HttpResponse answer = poll(node, first);
    INFO(answer.body);
    REQUIRE(answer.status == 200);
    const std::string text = text_member(answer, "Result");
    const JsonDocument result = JsonDocument::parse(text).value();
    REQUIRE(result.root().at(0).as_string() == "f" + std::to_string(call % kFunctions));
    REQUIRE(result.root().at(1).as_int() == call);
    REQUIRE(result.root().at(2).as_string() == text_member(first, "ReqId"));
  }
}

TEST_CASE("row 2: a container with MaxConcurrency 1 never runs two calls at a time", "[integration]") {
  const NodeProcess node(with({{"container.pool.memory", "256"}, {"scheduler.queue.capacity", "1000"}}));
  // /tmp belongs to the container: a second call inside would find the file of the first.
  node.create_python("alone", R"(
import os, time
def handler(params, context):
    os.close(os.open('/tmp/occupied', os.O_CREAT | os.O_EXCL))
    time.sleep(0.002)
    os.unlink('/tmp/occupied')
)",
                     memory(64));
  for (const HttpResponse& answer : post_at_once(
           node, 600, [](int) { return std::pair("/invoke/alone", std::string("{}")); }, 16)) {
    INFO(answer.body);
    REQUIRE(answer.status == 200);
  }
  CHECK(nothing_held(node, 64 * warm(node, "alone")));
}

TEST_CASE("row 12: a call for which no cores are free costs no warm container", "[integration]") {
  CallGate gate;
  const NodeProcess node(with({{"container.pool.cpus", "1"}}));
  node.create_python("f", gate.waiting_handler(), "\"CPUDemand\":1");
  node.create_python("g", "def handler(params, context):\n    return 1\n", "\"CPUDemand\":1");
  REQUIRE(node.post("/invoke/g", "{}").status == 200);
  Caller busy(node, "f", named("f"));
  REQUIRE(gate.wait_for_arrivals(1));
  for (int call = 0; call < 10; ++call) CHECK(node.post("/invoke/g", "{}").status == 429);
  CHECK(warm(node, "g") == 1);
  gate.open();
  CHECK(busy.answer().status == 200);
  const HttpResponse answer = node.post("/invoke/g", "{}");
  CHECK(answer.status == 200);
  CHECK(member(answer, "IsWarmStart") == "true");
  CHECK(nothing_held(node, 256));
}

TEST_CASE("row 13: prewarmed containers outlive the next looks for expired ones", "[integration]") {
  const NodeProcess node(with({{"janitor.interval", "0.05"}}));
  node.create_python("f", "def handler(params, context):\n    return 1\n");
  REQUIRE(member(node.post("/prewarm", R"({"Function":"f","Instances":2})"), "Prewarmed") == "2");
  const int then = status_number(node, "LastUpdateTime");
  REQUIRE(eventually([&] { return status_number(node, "LastUpdateTime") >= then + 2; }));
  CHECK(warm(node, "f") == 2);
  CHECK(member(node.post("/invoke/f", "{}"), "IsWarmStart") == "true");
}

TEST_CASE("row 14: a container that cannot be made leaves the accounts as they were", "[integration]") {
  const NodeProcess node(with({{"scheduler.queue.capacity", "10"}}));
  node.create_python("bad", "import no_such_module\ndef handler(params, context):\n    return 1\n",
                     "\"CPUDemand\":1");
  const HttpResponse prewarmed = node.post("/prewarm", R"({"Function":"bad","Instances":3})");
  CHECK(prewarmed.status == 500);
  CHECK_THAT(text_member(prewarmed, "Error"), Catch::Contains("no_such_module"));
  for (const HttpResponse& answer :
       post_at_once(node, 12, [](int) { return std::pair("/invoke/bad", std::string("{}")); })) {
    CHECK(answer.status == 500);
    CHECK_THAT(member(answer, "Error"),
               Catch::Contains("\"Kind\":\"start\"") && Catch::Contains("no_such_module"));
  }
  CHECK(nothing_held(node, 0));
}

TEST_CASE("row 15: after an update no call gets the old code, also while an old call runs", "[integration]") {
  CallGate gate;
  const NodeProcess node(with({}));
  node.create_python("f", gate.waiting_handler(), memory(200) + ",\"CPUDemand\":1");
  Caller old(node, "f", named("old code"));
  REQUIRE(gate.wait_for_arrivals(1));
  node.create_python("f", "def handler(params, context):\n    return 'new code'\n", memory(100));
  for (int call = 0; call < 5; ++call) {
    CHECK(text_member(node.post("/invoke/f", "{}"), "Result") == "\"new code\"");
  }
  gate.open();
  CHECK(text_member(old.answer(), "Result") == "\"old code\"");
  for (int call = 0; call < 5; ++call) {
    CHECK(text_member(node.post("/invoke/f", "{}"), "Result") == "\"new code\"");
  }
  CHECK(nothing_held(node, 100));
}

TEST_CASE("row 15: a function that is deleted while its call fails leaves nothing held", "[integration]") {
  CallGate gate;
  const NodeProcess node(with({}));
  node.create_python(
      "f",
      gate.python() + "def handler(params, context):\n    wait_at_gate('f')\n    raise ValueError('no')\n",
      "\"CPUDemand\":1");
  Caller failing(node, "f", "{}");
  REQUIRE(gate.wait_for_arrivals(1));
  CHECK(node.post("/delete", R"({"Name":"f"})").status == 200);
  CHECK(node.post("/invoke/f", "{}").status == 404);
  gate.open();
  CHECK(failing.answer().status == 500);
  CHECK(nothing_held(node, 0));
}

TEST_CASE("row 16: a container that was killed for its memory is never chosen again", "[integration]") {
  const NodeProcess node(with({}));
  node.create_python("hungry", R"(
def handler(params, context):
    return len(bytearray(params['bytes']))
)",
                     memory(64));
  REQUIRE(node.post("/invoke/hungry", R"({"Params":{"bytes":1}})").status == 200);
  const HttpResponse killed = node.post("/invoke/hungry", R"({"Params":{"bytes":1000000000}})");
  CHECK(killed.status == 500);
  CHECK_THAT(member(killed, "Error"),
             Catch::StartsWith("{\"Kind\":\"memory\"") || Catch::StartsWith("{\"Kind\":\"raised\""));
  const HttpResponse next = node.post("/invoke/hungry", R"({"Params":{"bytes":2}})");
  CHECK(next.status == 200);
  CHECK(text_member(next, "Result") == "2");
  CHECK(nothing_held(node, 64));
}

TEST_CASE("row 17: a call that hangs ends by its timeout, gives back what it held, and is sent once",
          "[integration]") {
  CallGate gate;
  const NodeProcess node(with({{"container.pool.memory", "128"}}));
  node.create_python("stuck", gate.waiting_handler(), "\"TimeoutSec\":0.5");
  const HttpResponse late = node.post("/invoke/stuck", named("once"));
  CHECK(late.status == 504);
  CHECK_THAT(member(late, "Error"), Catch::StartsWith("{\"Kind\":\"timeout\""));
  CHECK(nothing_held(node, 0));
  CHECK(gate.arrived() == std::vector<std::string>{"once"});
  gate.open();
  const HttpResponse next = node.post("/invoke/stuck", named("twice"));
  CHECK(next.status == 200);
  CHECK(member(next, "IsWarmStart") == "false");
}

TEST_CASE("row 17: a call whose container breaks is not sent again", "[integration]") {
  CallGate gate;
  const NodeProcess node(with({}));
  node.create_python(
      "breaks",
      gate.python() +
          "import os\ndef handler(params, context):\n    wait_at_gate(params['name'])\n    os._exit(3)\n");
  gate.open();
  const HttpResponse broken = node.post("/invoke/breaks", named("first"));
  CHECK(broken.status == 500);
  CHECK_THAT(member(broken, "Error"), Catch::StartsWith("{\"Kind\":\"crashed\""));
  node.post("/invoke/breaks", named("second"));
  CHECK(gate.arrived() == std::vector<std::string>{"first", "second"});
}

TEST_CASE("row 19: functions go on answering while others push each other out of memory", "[integration]") {
  const NodeProcess node(with({{"container.pool.memory", "256"}, {"scheduler.queue.capacity", "1000"}}));
  const std::string source = "def handler(params, context):\n    return params['name']\n";
  node.create_python("hot", source, memory(64));
  for (const char* name : {"a", "b", "c", "d"}) node.create_python(name, source, memory(96));
  const std::vector<HttpResponse> answers = post_at_once(node, 200, [](int call) {
    const std::string name = call % 2 == 0 ? "hot" : std::string(1, static_cast<char>('a' + call / 2 % 4));
    return std::pair("/invoke/" + name, named(name));
  });
  int warm_hot = 0;
  for (std::size_t call = 0; call < answers.size(); ++call) {
    INFO(answers[call].body);
    REQUIRE(answers[call].status == 200);
    if (call % 2 == 0 && member(answers[call], "IsWarmStart") == "true") ++warm_hot;
  }
  CHECK(warm_hot > 50);  // what is used most is not what goes first
}

TEST_CASE("row 23: what waits goes by class, and what comes too late is not run", "[integration]") {
  CallGate gate;
  const NodeProcess node(with({{"container.pool.memory", "128"}, {"scheduler.queue.capacity", "2"}}));
  node.create_python("f", gate.waiting_handler());
  Caller first(node, "f", named("first"));
  REQUIRE(gate.wait_for_arrivals(1));
  CHECK_THAT(text_member(node.post("/invoke/f", named("late", "\"QoSMaxRespT\":0.01")), "Error"),
             Catch::Contains("QoSMaxRespT"));
  PersistentCaller low(node, "f", named("low", "\"QoSClass\":1"));
  PersistentCaller high(node, "f", named("high", "\"QoSClass\":2"));
  REQUIRE(eventually([&] { return queue_is_full(node, "f"); }));
  gate.open();
  CHECK(first.answer().status == 200);
  CHECK(low.answer().status == 200);
  CHECK(high.answer().status == 200);
  CHECK(gate.arrived() == std::vector<std::string>{"first", "high", "low"});
}

TEST_CASE("row 24: a failed call tells what failed, where, and what it had printed", "[integration]") {
  const NodeProcess node(with({}));
  node.create_python("f",
                     "def handler(params, context):\n    print('half way')\n    return 1 / params['n']\n");
  node.create_javascript("g", "exports.handler = (params) => { console.log('half way'); null.x; };",
                         memory(128));
  const HttpResponse python = node.post("/invoke/f", R"({"Params":{"n":0},"ReturnOutput":true})");
  CHECK(python.status == 500);
  CHECK(text_member(python, "Output") == "half way\n");
  CHECK_THAT(member(python, "Error"),
             Catch::StartsWith(R"({"Kind":"raised","Message":"ZeroDivisionError: division by zero")") &&
                 Catch::Contains("line 3"));
  const HttpResponse javascript = node.post("/invoke/g", R"({"ReturnOutput":true})");
  CHECK(javascript.status == 500);
  CHECK(text_member(javascript, "Output") == "half way\n");
  CHECK_THAT(member(javascript, "Error"), Catch::StartsWith(R"({"Kind":"raised","Message":"TypeError)"));
  // An error of the function's own is no overload, and costs no container.
  CHECK(member(node.post("/invoke/f", R"({"Params":{"n":1}})"), "IsWarmStart") == "true");
}

}  // namespace serverledge::test
