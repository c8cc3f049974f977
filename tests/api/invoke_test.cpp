#include <catch2/catch.hpp>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "api/served_node.hpp"
#include "support/answers.hpp"
#include "support/gate.hpp"

namespace serverledge::test {
namespace {

using test::Gate;

Reply reply(std::string result) { return {std::move(result), {}, {}, false}; }

}  // namespace

TEST_CASE_METHOD(ServedNode, "a call is answered by the response object and the headers of the node",
                 "[invoke]") {
  create("func");
  runtime.on_call = [](const Function&, const Call& call) {
    CHECK(call.return_output);
    return Reply{"\"<" + std::string(call.params) + ">\"", {}, "Executing function....\n\n", false};
  };
  const HttpResponse answer = post(
      "/invoke/func",
      R"({"Params":{},"QoSClass":0,"QoSMaxRespT":-1,"CanDoOffloading":true,"Async":false,"ReturnOutput":true})",
      {{"Serverledge-MAB-Request-ID", "bandit-7"}});
  CHECK(answer.status == 200);
  CHECK(answer.content_type == "application/json; charset=UTF-8");
  CHECK_THAT(
      answer.body,
      Catch::StartsWith("{\"Success\":true,\"Result\":\"\\\"\\u003c{}\\u003e\\\"\",\"ResponseTime\":") &&
          Catch::EndsWith("}\n"));
  CHECK(member(answer, "IsWarmStart") == "false");
  CHECK(member(answer, "QueueingTime") == "0");
  CHECK(member(answer, "OffloadLatency") == "0");
  CHECK(member(answer, "Output") == R"("Executing function....\n\n")");
  CHECK(member(answer, "ExecutionArea") == "\"ROME\"");
  CHECK(member(answer, "ExecutionNode") == "\"node-one\"");
  CHECK(member(answer, "Error") == "absent");
  CHECK(header(answer, "Serverledge-Node-Name") == "node-one");
  CHECK(header(answer, "Serverledge-Free-Mem") == "1024");
  CHECK(header(answer, "Serverledge-Free-Cpu") == "4.000000");
  CHECK(header(answer, "Serverledge-Node-Arch") == "amd64");
  CHECK(header(answer, "Serverledge-MAB-Request-ID") == "bandit-7");
  CHECK(std::stoll(header(answer, "Serverledge-Timestamp")) > 1'600'000'000);
  CHECK(member(post("/invoke/func", R"({"ReturnOutput":true})"), "IsWarmStart") == "true");
}

TEST_CASE_METHOD(ServedNode, "params reach the function byte for byte, absent ones as an empty object",
                 "[invoke]") {
  create("f");
  const std::string params = "{ \"big\":123456789012345678901234567890, \"e\" : \"\xc3\xa9\\u00e9\" }";
  std::string seen;
  runtime.on_call = [&](const Function&, const Call& call) {
    seen = call.params;
    return reply("null");
  };
  post("/invoke/f", "{\"Params\":" + params + "}");
  CHECK(seen == params);
  CHECK(post("/invoke/f", "").status == 200);
  CHECK(seen == "{}");
}

TEST_CASE_METHOD(ServedNode, "an unknown function is not found, without the headers of the node",
                 "[invoke]") {
  const HttpResponse answer = post("/invoke/unknown", "{}");
  CHECK(answer.status == 404);
  CHECK(answer.body == "Function unknown");
  CHECK(answer.content_type == "text/plain; charset=UTF-8");
  CHECK(header(answer, "Serverledge-Node-Name") == "absent");
}

TEST_CASE_METHOD(ServedNode, "a bad envelope is refused before anything runs, with the headers of the node",
                 "[invoke]") {
  create("f");
  const HttpResponse answer = post("/invoke/f", R"({"Params":[1]})");
  CHECK(answer.status == 400);
  CHECK(answer.body == "{\"Error\":\"Params: expected an object, got an array\"}\n");
  CHECK(header(answer, "Serverledge-Node-Name") == "node-one");
  CHECK(post("/invoke/f", "{} trailing").status == 400);
  CHECK(runtime.created == 0);
}

TEST_CASE_METHOD(ServedNode, "a failed call says what failed, and a timeout is told apart", "[invoke]") {
  create("f");
  runtime.on_call = [](const Function&, const Call& call) {
    Reply failed;
    failed.output = call.return_output ? "half way" : "";
    const bool late = call.params.find("late") != std::string_view::npos;
    failed.failure = late ? Failure{FailureKind::kTimeout, "the call exceeded its 1 s", ""}
                          : Failure{FailureKind::kRaised, "ValueError: <x>", "Traceback:\n  line 1"};
    failed.doomed = late;
    return failed;
  };
  const HttpResponse raised = post("/invoke/f", R"({"ReturnOutput":true})");
  CHECK(raised.status == 500);
  CHECK(member(raised, "Success") == "false");
  CHECK(member(raised, "Output") == "\"half way\"");
  CHECK(member(raised, "Error") ==
        R"({"Kind":"raised","Message":"ValueError: \u003cx\u003e","Traceback":"Traceback:\n  line 1"})");
  CHECK(header(raised, "Serverledge-Node-Name") == "node-one");
  const HttpResponse late = post("/invoke/f", R"({"Params":{"late":1}})");
  CHECK(late.status == 504);
  CHECK_THAT(member(late, "Error"), Catch::StartsWith(R"({"Kind":"timeout")"));
}

TEST_CASE_METHOD(ServedNode, "a container that cannot be started is the answer's error", "[invoke]") {
  create("f");
  runtime.on_create = [](const Function&) {
    return Result<void>(
        Unexpected(ErrorCode::kFunctionFailed, "ModuleNotFoundError: No module named 'x'", "Traceback"));
  };
  const HttpResponse answer = post("/invoke/f", "{}");
  CHECK(answer.status == 500);
  CHECK(member(answer, "Error") ==
        R"({"Kind":"start","Message":"ModuleNotFoundError: No module named 'x'","Traceback":"Traceback"})");
}

TEST_CASE("overload is told with a reason and when to come again", "[invoke]") {
  ServedNode node({.total = {128, 4000}});
  node.create("f");
  Gate gate;
  node.runtime.on_call = [&](const Function&, const Call&) {
    gate.wait();
    return reply("null");
  };
  Caller first(node, "f", "{}");
  REQUIRE(gate.wait_for_arrivals(1));
  const HttpResponse answer = node.post("/invoke/f", "{}");
  CHECK(answer.status == 429);
  CHECK(header(answer, "Retry-After") == "1");
  CHECK(header(answer, "Serverledge-Free-Mem") == "0");
  CHECK_THAT(member(answer, "Error"), Catch::Contains("no resources"));
  gate.open();
  CHECK(first.answer().status == 200);
}

TEST_CASE("what waits in the queue runs by class, and what comes too late does not run", "[invoke]") {
  ServedNode node({.total = {128, 4000}, .queue_capacity = 10});
  node.create("f");
  Gate gate;
  std::mutex mutex;
  std::vector<std::string> order;
  node.runtime.on_call = [&](const Function&, const Call& call) {
    if (call.params == "{}") gate.wait();
    const std::scoped_lock lock(mutex);
    order.emplace_back(call.params);
    return reply("null");
  };
  const auto waiting = [&](std::size_t count) {
    while (node.node->invoker().view("f").queued < count) std::this_thread::yield();
  };
  Caller first(node, "f", "{}");
  REQUIRE(gate.wait_for_arrivals(1));
  Caller low(node, "f", R"({"Params":{"class":1},"QoSClass":1})");
  waiting(1);
  Caller high(node, "f", R"({"Params":{"class":2},"QoSClass":2})");
  waiting(2);
  const HttpResponse late =
      node.post("/invoke/f", R"({"Params":{"late":1},"QoSMaxRespT":0.001,"QoSClass":9})");
  CHECK(late.status == 429);
  CHECK_THAT(member(late, "Error"), Catch::Contains("QoSMaxRespT"));
  gate.open();
  CHECK(first.answer().status == 200);
  CHECK(low.answer().status == 200);
  CHECK(high.answer().status == 200);
  CHECK(order == std::vector<std::string>{"{}", R"({"class":2})", R"({"class":1})"});
}

TEST_CASE_METHOD(ServedNode, "an asynchronous call is pending until its answer is there", "[async]") {
  create("f");
  Gate gate;
  runtime.on_call = [&](const Function&, const Call& call) {
    gate.wait();
    return reply(std::string(call.params));
  };
  const HttpResponse accepted = post("/invoke/f", R"({"Params":{"a":1},"Async":true})");
  CHECK(accepted.status == 200);
  CHECK_THAT(accepted.body, Catch::StartsWith("{\"ReqId\":\"f-") && Catch::EndsWith("\"}\n"));
  CHECK(header(accepted, "Serverledge-Node-Name") == "node-one");
  const std::string id = text_member(accepted, "ReqId");
  const HttpResponse pending = get("/poll/" + id);
  CHECK(pending.status == 404);
  CHECK(pending.body == "pending");
  CHECK(header(pending, "Retry-After") == "1");
  gate.open();
  const HttpResponse answer = poll(*this, accepted);
  CHECK(answer.status == 200);
  CHECK(answer.content_type == "application/json; charset=UTF-8");
  CHECK(member(answer, "Result") == R"("{\"a\":1}")");
  CHECK_THAT(answer.body, Catch::EndsWith("}"));
  CHECK(get("/poll/" + id).body == answer.body);
  const HttpResponse unknown = get("/poll/f-0123456789abcdef0123456789abcdef");
  CHECK(unknown.status == 404);
  CHECK(unknown.body == "unknown request");
}

TEST_CASE_METHOD(ServedNode, "the answer of a failed asynchronous call tells that it failed", "[async]") {
  create("f");
  runtime.on_call = [](const Function&, const Call& call) {
    Reply failed;
    const bool late = call.params.find("late") != std::string_view::npos;
    failed.failure = Failure{late ? FailureKind::kTimeout : FailureKind::kCrashed, "no", ""};
    failed.doomed = true;
    return failed;
  };
  const HttpResponse crashed = poll(*this, post("/invoke/f", R"({"Async":true})"));
  CHECK(crashed.status == 500);
  CHECK(member(crashed, "Error") == R"({"Kind":"crashed","Message":"no","Traceback":""})");
  CHECK(poll(*this, post("/invoke/f", R"({"Async":true,"Params":{"late":1}})")).status == 504);
}

TEST_CASE_METHOD(ServedNode,
                 "400 concurrent asynchronous calls of different functions each get their own result",
                 "[async]") {
  constexpr int kFunctions = 20;
  constexpr int kCalls = 400;
  for (int index = 0; index < kFunctions; ++index) create("f" + std::to_string(index), R"("MemoryMB":32)");
  runtime.on_call = [](const Function& function, const Call& call) {
    return reply("[\"" + function.name + "\"," + std::string(call.params) + "]");
  };
  const std::vector<HttpResponse> accepted = post_at_once(*this, kCalls, [](int call) {
    const std::string number = std::to_string(call);
    return std::pair("/invoke/f" + std::to_string(call % kFunctions),
                     "{\"Async\":true,\"Params\":{\"call\":" + number + "}}");
  });
  std::set<std::string> ids;
  for (int call = 0; call < kCalls; ++call) {
    const HttpResponse answer = poll(*this, accepted[static_cast<std::size_t>(call)]);
    REQUIRE(answer.status == 200);
    REQUIRE(text_member(answer, "Result") ==
            "[\"f" + std::to_string(call % kFunctions) + "\",{\"call\":" + std::to_string(call) + "}]");
    ids.insert(text_member(accepted[static_cast<std::size_t>(call)], "ReqId"));
  }
  CHECK(ids.size() == kCalls);
}

TEST_CASE_METHOD(ServedNode, "a node that stops refuses calls, and says when to come again", "[invoke]") {
  create("f");
  node->stop(Duration::zero());
  for (const char* body : {"{}", R"({"Async":true})"}) {
    const HttpResponse answer = post("/invoke/f", body);
    CHECK(answer.status == 503);
    CHECK(header(answer, "Retry-After") == "1");
    CHECK_THAT(member(answer, "Error"), Catch::Contains("stop"));
  }
}

}  // namespace serverledge::test
