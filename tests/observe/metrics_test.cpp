#include "serverledge/observe/metrics.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <sstream>
#include <thread>

namespace serverledge {
namespace {

struct MetricsRig {
  explicit MetricsRig(std::size_t functions_max = 100)
      : metrics({.node = "node-one", .area = "ROME", .functions_max = functions_max}) {}

  static Invocation invocation(const std::string& name) {
    Function function;
    function.name = name;
    Invocation made;
    made.id = name + "-1";
    made.function = std::make_shared<const Function>(std::move(function));
    return made;
  }
  static ExecutionReport report(bool warm = true) {
    ExecutionReport made;
    made.node = "node-one";
    made.warm = warm;
    made.result = "\"0123456789\"";
    made.init_time = warm ? Duration::zero() : Duration(std::chrono::milliseconds(30));
    made.duration = std::chrono::milliseconds(15);
    made.response_time = std::chrono::milliseconds(20);
    return made;
  }

  /// The value of one line: name with labels as Prometheus has it; -1 if there is none.
  double value(const std::string& series) {
    std::istringstream lines(metrics.text(sample));
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(series + " ")) return std::atof(line.c_str() + series.size() + 1);
    }
    return -1;
  }
  std::size_t series() {
    std::istringstream lines(metrics.text(sample));
    std::size_t count = 0;
    for (std::string line; std::getline(lines, line);) count += line.empty() || line[0] == '#' ? 0 : 1;
    return count;
  }

  Metrics metrics;
  NodeSample sample;
};

TEST_CASE("The metrics of the contract count local calls that succeeded", "[metrics]") {
  MetricsRig rig;
  const Invocation call = MetricsRig::invocation("hello");
  rig.metrics.completed(call, MetricsRig::report());
  rig.metrics.completed(call, MetricsRig::report(false));
  CHECK(rig.value(R"(completed_count{area="ROME",function="hello"})") == 2);
  CHECK(rig.value(R"(cold_starts_count{area="ROME",function="hello"})") == 1);
  CHECK(rig.value(R"(execution_time_count{function="hello"})") == 2);
  CHECK(rig.value(R"(execution_time_sum{function="hello"})") == Approx(0.03));
  CHECK(rig.value(R"(execution_time_bucket{function="hello",le="0.01"})") == 0);
  CHECK(rig.value(R"(execution_time_bucket{function="hello",le="0.02"})") == 2);
  CHECK(rig.value(R"(execution_time_bucket{function="hello",le="163.84"})") == 2);
  CHECK(rig.value(R"(init_time_count{function="hello"})") == 1);
  CHECK(rig.value(R"(init_time_sum{function="hello"})") == Approx(0.03));
  CHECK(rig.value(R"(output_size_sum{function="hello"})") == 24);
  CHECK(rig.value(R"(serverledge_invocations_total{function="hello",outcome="succeeded"})") == 2);
  CHECK(rig.value(R"(serverledge_response_time_seconds_count{function="hello",start="warm"})") == 1);
  CHECK(rig.value(R"(serverledge_response_time_seconds_count{function="hello",start="cold"})") == 1);
}

TEST_CASE("A failed call is counted by its kind, and not as completed", "[metrics]") {
  MetricsRig rig;
  ExecutionReport report = MetricsRig::report();
  report.failure = Failure{FailureKind::kTimeout, "too long", ""};
  rig.metrics.completed(MetricsRig::invocation("slow"), report);
  CHECK(rig.value(R"(completed_count{area="ROME",function="slow"})") == 0);
  CHECK(rig.value(R"(serverledge_failures_total{function="slow",kind="timeout"})") == 1);
  CHECK(rig.value(R"(serverledge_invocations_total{function="slow",outcome="failed"})") == 1);
  CHECK(rig.value(R"(execution_time_count{function="slow"})") == 0);
}

TEST_CASE("A call that another node ran is no completed one of this node", "[metrics]") {
  MetricsRig rig;
  ExecutionReport report = MetricsRig::report(false);
  report.node = "node-two";
  rig.metrics.completed(MetricsRig::invocation("hello"), report);
  CHECK(rig.value(R"(completed_count{area="ROME",function="hello"})") == 0);
  CHECK(rig.value(R"(cold_starts_count{area="ROME",function="hello"})") == -1);
  CHECK(rig.value(R"(serverledge_invocations_total{function="hello",outcome="succeeded"})") == 1);
}

TEST_CASE("Refusals are counted by reason, from a bounded set of words", "[metrics]") {
  MetricsRig rig;
  const Invocation call = MetricsRig::invocation("hello");
  rig.metrics.rejected(call, {ErrorCode::kNoResources, "full", "queue_full"});
  rig.metrics.rejected(call, {ErrorCode::kNoResources, "late", "deadline"});
  for (int i = 0; i < 100; ++i) {
    rig.metrics.rejected(call, {ErrorCode::kUnknownOutcome, "broke off", "detail " + std::to_string(i)});
  }
  CHECK(rig.value(R"(serverledge_drops_total{reason="queue_full"})") == 1);
  CHECK(rig.value(R"(serverledge_drops_total{reason="deadline"})") == 1);
  CHECK(rig.value(R"(serverledge_drops_total{reason="unknown_outcome"})") == 100);
  CHECK(rig.value(R"(serverledge_invocations_total{function="hello",outcome="refused"})") == 102);
}

TEST_CASE("Offloads are counted by node and outcome, waits by whether a place was found", "[metrics]") {
  MetricsRig rig;
  const Invocation call = MetricsRig::invocation("hello");
  const Peer peer{.key = "node-two", .area = "ROME", .host = "192.0.2.1", .port = 1323, .arch = "amd64"};
  const TimePoint begin{std::chrono::seconds(5)};
  const TimePoint end = begin + std::chrono::milliseconds(40);
  const Error away{ErrorCode::kUnavailable, "away", ""};
  const Error full{ErrorCode::kNoResources, "full", ""};
  const Failure raised{FailureKind::kRaised, "", ""};
  StagePassed offload{.stage = Stage::kOffload, .begin = begin, .end = end, .peer = &peer};
  rig.metrics.passed(call, offload);
  offload.failure = &raised;
  rig.metrics.passed(call, offload);
  offload.failure = nullptr;
  for (const Error* error : {&away, &full}) {
    offload.error = error;
    rig.metrics.passed(call, offload);
  }
  for (const char* outcome : {"succeeded", "failed", "unreachable", "refused"}) {
    INFO(outcome);
    CHECK(rig.value(R"(serverledge_offloads_total{outcome=")" + std::string(outcome) +
                    R"(",target="node-two"})") == 1);
  }
  rig.metrics.passed(call, {.stage = Stage::kWait, .begin = begin, .end = end});
  rig.metrics.passed(call, {.stage = Stage::kWait, .begin = begin, .end = end, .error = &full});
  CHECK(rig.value(R"(serverledge_queue_wait_seconds_sum{outcome="placed"})") == Approx(0.04));
  CHECK(rig.value(R"(serverledge_queue_wait_seconds_count{outcome="gave_up"})") == 1);
}

TEST_CASE("However many functions and peers there are, the number of series is bounded", "[metrics]") {
  MetricsRig rig(3);
  const auto call_and_offload = [&](int number) {
    const Invocation call = MetricsRig::invocation("f" + std::to_string(number));
    rig.metrics.completed(call, MetricsRig::report());
    rig.metrics.rejected(call, {ErrorCode::kNoResources, "full", "queue_full"});
    const Peer peer{.key = "peer" + std::to_string(number), .area = {}, .host = {}, .port = 1, .arch = {}};
    rig.metrics.passed(call, {.stage = Stage::kOffload, .peer = &peer});
    rig.sample.containers.push_back({call.function->name, 1, 0, 0});
  };
  for (int number = 0; number < 100; ++number) call_and_offload(number);
  const std::size_t before = rig.series();
  for (int number = 100; number < 400; ++number) call_and_offload(number);
  CHECK(rig.series() == before);
  CHECK(rig.value(R"(completed_count{area="ROME",function="f0"})") == 1);
  CHECK(rig.value(R"(completed_count{area="ROME",function="f3"})") == -1);
  CHECK(rig.value(R"(completed_count{area="ROME",function="_other"})") == 397);
  CHECK(rig.value(R"(serverledge_containers{function="_other",state="idle"})") == 397);
  CHECK(rig.value(R"(serverledge_offloads_total{outcome="succeeded",target="_other"})") == 350);
}

TEST_CASE("Functions that were deleted make room for others", "[metrics]") {
  MetricsRig rig(2);
  for (const char* name : {"old", "kept"})
    rig.metrics.completed(MetricsRig::invocation(name), MetricsRig::report());
  rig.sample.containers = {{"kept", 0, 0, 0}, {"new", 0, 0, 0}};
  rig.metrics.text(rig.sample);
  rig.metrics.completed(MetricsRig::invocation("new"), MetricsRig::report());
  CHECK(rig.value(R"(completed_count{area="ROME",function="old"})") == -1);
  CHECK(rig.value(R"(completed_count{area="ROME",function="kept"})") == 1);
  CHECK(rig.value(R"(completed_count{area="ROME",function="new"})") == 1);
}

TEST_CASE("What the node holds, and this process, is told as it is now", "[metrics]") {
  MetricsRig rig;
  rig.metrics.completed(MetricsRig::invocation("hello"), MetricsRig::report());
  rig.sample.total = {1024, 4000};
  rig.sample.busy = {256, 1500};
  rig.sample.queued = 7;
  rig.sample.containers = {{"hello", 2, 1, 0}};
  rig.sample.stock = {{"nodejs17ng", 2}};
  rig.sample.store_up = false;
  rig.sample.neighbours = {{"node-two", false, true, std::chrono::milliseconds(3), std::chrono::seconds(9)},
                           {"node-three", true, false, {}, {}}};
  CHECK(rig.value(R"(serverledge_memory_bytes{kind="total"})") == 1024.0 * 1024 * 1024);
  CHECK(rig.value(R"(serverledge_cores{kind="busy"})") == 1.5);
  CHECK(rig.value("serverledge_queue_length") == 7);
  CHECK(rig.value(R"(serverledge_containers{function="hello",state="idle"})") == 2);
  CHECK(rig.value(R"(serverledge_stock{runtime="nodejs17ng"})") == 2);
  CHECK(rig.value("serverledge_store_up") == 0);
  CHECK(rig.value(R"(serverledge_peer_usable{target="node-two",kind="neighbour"})") == 0);
  CHECK(rig.value(R"(serverledge_peer_news_age_seconds{target="node-two",kind="neighbour"})") == 9);
  CHECK(rig.value(R"(serverledge_peer_usable{target="node-three",kind="cloud"})") == 1);
  CHECK(rig.value(R"(serverledge_peer_news_age_seconds{target="node-three",kind="cloud"})") == -1);
  CHECK(rig.value("process_resident_memory_bytes") > 1e6);
  CHECK(rig.value("process_open_fds") > 2);
  CHECK(rig.value("process_max_fds") >= rig.value("process_open_fds"));
  CHECK(rig.value("process_threads") >= 1);
  CHECK(rig.value("process_start_time_seconds") > 1.6e9);
  CHECK(rig.value("process_cpu_seconds_total") >= 0);
}

TEST_CASE("Many threads count while others ask, and nothing is lost", "[metrics]") {
  MetricsRig rig(4);
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 8; ++thread) {
      threads.emplace_back([&rig, thread] {
        const Invocation call = MetricsRig::invocation("f" + std::to_string(thread));
        for (int i = 0; i < 500; ++i) rig.metrics.completed(call, MetricsRig::report(i % 10 != 0));
      });
    }
    threads.emplace_back([&rig] {
      for (int i = 0; i < 50; ++i) rig.metrics.text({});  // knows no function: all may be given up
    });
  }
  // Counts of functions that were given up are gone, others are exact.
  rig.sample.containers = {{"after", 0, 0, 0}};
  rig.metrics.text(rig.sample);
  for (int i = 0; i < 10; ++i) rig.metrics.completed(MetricsRig::invocation("after"), MetricsRig::report());
  CHECK(rig.value(R"(completed_count{area="ROME",function="after"})") == 10);
}

}  // namespace
}  // namespace serverledge
