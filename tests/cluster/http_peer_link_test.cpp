#include "serverledge/cluster/http_peer_link.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <future>
#include <mutex>
#include <set>

#include "serverledge/net/http_server.hpp"
#include "support/answers.hpp"

namespace serverledge::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kReport =
    R"({"Success":true,"Result":"\"Hello\"","ResponseTime":0.5,"IsWarmStart":true,"InitTime":0,"QueueingTime":0,)"
    R"("OffloadLatency":0,"Duration":0.002646343,"Output":"said\n","ExecutionArea":"ROME","ExecutionNode":"node-two"})";

/// A node that answers `/invoke/f` as the test says.
struct AnsweringPeer {
  AnsweringPeer() {
    server.route("POST", "/invoke/:fun", [this](HttpRequest& request) {
      {
        const std::scoped_lock lock(mutex);
        received = request;
      }
      ++calls;
      return answer(request);
    });
    peer.port = server.start().value();
    table.set_members({{{peer, 9876}}, {}}, {});
  }

  Invocation invocation() const {
    auto function = std::make_shared<Function>();
    function->name = "f";
    function->memory_mb = 128;
    Invocation call;
    call.function = std::move(function);
    call.body = R"({"Params":{"n":1}})";
    call.params_begin = 10;
    call.params_size = 7;
    call.arrival = system_clock().now();
    return call;
  }
  Result<ExecutionReport> forward(const Invocation& call, Duration within = seconds(60)) {
    return link.forward(call, peer, later(system_clock().now(), within));
  }
  Error error(int status, const std::string& body) {
    answer = [=](HttpRequest&) { return HttpResponse::text(status, body); };
    const auto report = forward(invocation());
    return report ? Error{ErrorCode::kInternal, "no error", ""} : report.error();
  }
  HttpRequest request() {
    const std::scoped_lock lock(mutex);
    return received;
  }

  std::mutex mutex;
  HttpRequest received;
  std::atomic<int> calls{0};
  std::function<HttpResponse(HttpRequest&)> answer = [](HttpRequest&) {
    return HttpResponse::json(200, kReport);
  };
  HttpServer server{{}, system_clock()};
  HttpClient client{{}, system_clock()};
  PeerTable table{{.key = "node-one", .area = "ROME"}, system_clock(), 1};
  HttpPeerLink link{client, table, system_clock()};
  Peer peer{"node-two", "ROME", "127.0.0.1", 0, "amd64"};
};

TEST_CASE("An offload is sent as the contract has it", "[link]") {
  AnsweringPeer rig;
  Invocation call = rig.invocation();
  call.return_output = true;
  call.qos_class = 3;
  call.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  REQUIRE(rig.forward(call));
  CHECK(
      rig.request().body ==
      R"({"Params":{"n":1},"QoSClass":3,"QoSMaxRespT":0,"CanDoOffloading":false,"Async":false,"ReturnOutput":true})");
  CHECK(*rig.request().headers.find("traceparent") == call.traceparent);
  call.params_size = 0;
  call.asynchronous = true;  // its answer is published by the node that accepted it
  call.return_output = false;
  call.qos_class = 0;
  REQUIRE(rig.forward(call));
  CHECK(
      rig.request().body ==
      R"({"Params":{},"QoSClass":0,"QoSMaxRespT":0,"CanDoOffloading":false,"Async":false,"ReturnOutput":false})");
}

TEST_CASE("What is left of QoSMaxRespT is forwarded, never as if there were none", "[link]") {
  AnsweringPeer rig;
  Invocation call = rig.invocation();
  call.max_response_time = seconds(1000);
  call.arrival = system_clock().now() - seconds(400);
  REQUIRE(rig.forward(call));
  const double left =
      JsonDocument::parse(rig.request().body)->root().find("QoSMaxRespT")->as_double().value();
  CHECK(left <= 600);
  CHECK(left > 500);
  call.max_response_time = seconds(1);
  REQUIRE(rig.forward(call));
  CHECK(JsonDocument::parse(rig.request().body)->root().find("QoSMaxRespT")->as_double().value() > 0);
}

TEST_CASE("The report is the target's, but for the times that only this node knows", "[link]") {
  AnsweringPeer rig;
  rig.answer = [](HttpRequest&) {
    return HttpResponse::json(
        200,
        R"({"Success":true,"Result":"\"Hello\"","IsWarmStart":true,"Output":"said\n","ExecutionNode":"node-two"})");
  };
  Invocation call = rig.invocation();
  call.arrival = system_clock().now() - seconds(3);
  const auto report = rig.forward(call);
  REQUIRE(report);
  CHECK(report->result == "\"Hello\"");
  CHECK(report->output == "said\n");
  CHECK(report->warm);
  CHECK(report->node == "node-two");
  CHECK(seconds(0) < report->offload_latency);
  CHECK(report->response_time >= seconds(3));
}

TEST_CASE("A function that failed there is relayed as it is", "[link]") {
  AnsweringPeer rig;
  rig.answer = [](HttpRequest&) {
    return HttpResponse::json(504,
                              R"({"Success":false,"Result":"","Output":"before","ExecutionNode":"node-two",)"
                              R"("Error":{"Kind":"timeout","Message":"60 s","Traceback":"t"}})");
  };
  const auto report = rig.forward(rig.invocation());
  REQUIRE(report);
  REQUIRE(report->failure);
  CHECK(*report->failure == Failure{FailureKind::kTimeout, "60 s", "t"});
  CHECK(report->output == "before");
}

TEST_CASE("Refusals did not start, what nobody can tell is an unknown outcome", "[link]") {
  AnsweringPeer rig;
  CHECK(rig.error(404, "Function unknown").code == ErrorCode::kNotFound);
  CHECK(rig.error(429, "").code == ErrorCode::kNoResources);
  CHECK(rig.error(413, "").code == ErrorCode::kNoResources);
  CHECK(rig.error(503, "").code == ErrorCode::kUnavailable);
  CHECK(rig.error(500, "Node has not enough resources").code == ErrorCode::kUnknownOutcome);
  CHECK(rig.error(502, "").code == ErrorCode::kUnknownOutcome);
  CHECK(rig.error(200, "not a report").code == ErrorCode::kUnknownOutcome);
}

TEST_CASE("A node that cannot be reached has not run the call", "[link]") {
  AnsweringPeer rig;
  rig.server.stop();
  const auto report = rig.forward(rig.invocation());
  REQUIRE_FALSE(report);
  CHECK(report.error().code == ErrorCode::kUnavailable);
}

TEST_CASE(
    "A node that takes the call and never answers: the outcome is unknown, after the deadline (known defect "
    "20)",
    "[link]") {
  AnsweringPeer rig;
  std::promise<void> release;
  const auto released = release.get_future().share();
  rig.answer = [released](HttpRequest&) {
    released.wait();
    return HttpResponse::json(200, kReport);
  };
  const auto report = rig.forward(rig.invocation(), milliseconds(200));
  CHECK(rig.calls == 1);
  REQUIRE_FALSE(report);
  CHECK(report.error().code == ErrorCode::kUnknownOutcome);
  CHECK(report.error().message.find("node-two") != std::string::npos);
  release.set_value();
}

TEST_CASE("A node that ends gives up what it has offloaded, a caller that hangs up, too", "[link]") {
  AnsweringPeer rig;
  std::promise<void> entered, release;
  const auto released = release.get_future().share();
  rig.answer = [&, released](HttpRequest&) {
    entered.set_value();
    released.wait();
    return HttpResponse::json(200, kReport);
  };
  Invocation call = rig.invocation();
  std::stop_source caller;
  call.caller_gone = caller.get_token();
  auto outcome = std::async(std::launch::async, [&] { return rig.forward(call); });
  entered.get_future().wait();
  ErrorCode expected = ErrorCode::kCancelled;
  SECTION("hung up") { caller.request_stop(); }
  SECTION("ends") {
    expected = ErrorCode::kUnknownOutcome;
    rig.link.shutdown();
  }
  const auto report = outcome.get();
  release.set_value();
  REQUIRE_FALSE(report);
  CHECK(report.error().code == expected);
}

TEST_CASE("What the answer says of the node's load is news at once", "[link]") {
  AnsweringPeer rig;
  rig.answer = [](HttpRequest&) {
    HttpResponse response = HttpResponse::json(200, kReport);
    response.headers.add("Serverledge-Node-Name", "node-two");
    response.headers.add("serverledge-free-mem", "896");
    response.headers.add("Serverledge-Free-Cpu", "1.500000");
    return response;
  };
  const auto load = [&] {
    StatusReport report;
    report.total = {1024, 4000};
    report.available = report.total;
    for (const auto& question : rig.table.due(system_clock().now(), 10)) {
      rig.table.answered(question.peer, report, system_clock().now());
    }
    return rig.table.peers()->neighbours.at(0).available;
  };
  CHECK(load() == Resources{1024, 4000});
  REQUIRE(rig.forward(rig.invocation()));
  CHECK(rig.table.peers()->neighbours.at(0).available == Resources{896, 1500});
  SECTION("also of one that refused") {
    rig.answer = [](HttpRequest&) {
      HttpResponse response = HttpResponse::text(429, "");
      response.headers.add("Serverledge-Node-Name", "node-two");
      response.headers.add("Serverledge-Free-Mem", "0");
      response.headers.add("Serverledge-Free-CPU", "0");
      return response;
    };
    REQUIRE_FALSE(rig.forward(rig.invocation()));
    CHECK(rig.table.peers()->neighbours.at(0).available == Resources{0, 0});
  }
  SECTION("not from another node that has its address now") {
    rig.answer = [](HttpRequest&) {
      HttpResponse response = HttpResponse::json(200, kReport);
      response.headers.add("Serverledge-Node-Name", "somebody");
      response.headers.add("Serverledge-Free-Mem", "5");
      response.headers.add("Serverledge-Free-CPU", "1");
      return response;
    };
    REQUIRE(rig.forward(rig.invocation()));
    CHECK(rig.table.peers()->neighbours.at(0).available.memory_mb != 5);
  }
}

TEST_CASE("Offloads share connections", "[link]") {
  AnsweringPeer rig;
  std::set<std::string> connections;
  for (int i = 0; i < 20; ++i) {
    REQUIRE(rig.forward(rig.invocation()));
    connections.insert(rig.request().remote_address);
  }
  CHECK(connections.size() == 1);
}

}  // namespace
}  // namespace serverledge::test
