#include "serverledge/observe/tracer.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "serverledge/core/json.hpp"
#include "serverledge/core/trace_context.hpp"
#include "support/eventually.hpp"
#include "support/manual_clock.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge {
namespace {

constexpr const char* kCaller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

using Fields = std::map<std::string, std::string>;

std::string text(const JsonValue& value, std::string_view name) {
  const auto member = value.find(name);
  return member ? std::string(member->as_string().value_or(member->raw())) : "absent";
}

/// The spans of a file, each with its fields and attributes by name.
std::vector<Fields> read_spans(const std::string& path) {
  std::vector<Fields> spans;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const JsonDocument document = JsonDocument::parse(line).value();
    const JsonValue resource = document.root().find("resourceSpans")->at(0);
    const JsonValue all = *resource.find("scopeSpans")->at(0).find("spans");
    for (std::size_t index = 0; index < all.size(); ++index) {
      const JsonValue span = all.at(index);
      Fields fields;
      for (const char* name : {"traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano",
                               "endTimeUnixNano", "traceState"}) {
        fields[name] = text(span, name);
      }
      const JsonValue attributes = *span.find("attributes");
      for (std::size_t at = 0; at < attributes.size(); ++at) {
        fields[text(attributes.at(at), "key")] = attributes.at(at).find("value")->at(0).raw();
      }
      fields["status"] = span.find("status") ? text(*span.find("status"), "message") : "ok";
      spans.push_back(std::move(fields));
    }
  }
  return spans;
}

const Fields& named(const std::vector<Fields>& spans, const std::string& name) {
  const auto found = std::ranges::find_if(spans, [&](const Fields& span) { return span.at("name") == name; });
  if (found == spans.end()) throw std::runtime_error("no span " + name);
  return *found;
}

struct TracerRig {
  explicit TracerRig(TraceOptions options = {}) {
    options.file = folder.file("trace.json");
    options.node = "(ROME)one";
    tracer = open_tracer(options, std::make_shared<Observer>(), clock).value();
  }
  Invocation invocation(const std::string& traceparent) {
    Function function;
    function.name = "hello";
    Invocation made;
    made.id = "hello-1";
    made.function = std::make_shared<const Function>(function);
    made.body = R"({"password":"secret"})";
    made.params_size = made.body.size();
    made.traceparent = traceparent;
    made.arrival = clock.now();
    return made;
  }
  /// A warm call, as the invoker tells it; its traceparent as the function saw it.
  std::string call(const std::string& traceparent, const std::string& state = {}) {
    Invocation invoked = invocation(traceparent);
    invoked.tracestate = state;
    clock.advance(std::chrono::microseconds(10));
    tracer->began(invoked);
    const TimePoint begun = clock.now();
    clock.advance(std::chrono::microseconds(20));
    tracer->passed(invoked, {.stage = Stage::kDecide, .begin = begun, .end = clock.now()});
    tracer->entered(invoked, Stage::kExecute);
    const std::string seen = invoked.traceparent;
    const TimePoint started = clock.now();
    clock.advance(std::chrono::milliseconds(5));
    tracer->passed(invoked, {.stage = Stage::kExecute, .begin = started, .end = clock.now()});
    ExecutionReport report;
    report.warm = true;
    report.result = "secret";
    tracer->completed(invoked, report);
    return seen;
  }
  std::vector<Fields> spans() {
    tracer.reset();  // writes what waits
    return read_spans(folder.file("trace.json"));
  }

  test::TemporaryFolder folder;
  test::ManualClock clock;
  std::shared_ptr<Tracer> tracer;
};

TEST_CASE("A call is a span under its caller's, with a span for each stage", "[tracing]") {
  TracerRig rig;
  const std::string seen = rig.call(kCaller, "vendor=1");
  const std::vector<Fields> spans = rig.spans();
  REQUIRE(spans.size() == 4);
  const Fields& root = named(spans, "invocation");
  CHECK(root.at("parentSpanId") == "00f067aa0ba902b7");
  CHECK(root.at("kind") == "2");
  CHECK(root.at("traceState") == "vendor=1");
  CHECK(root.at("function") == "\"hello\"");
  CHECK(root.at("request") == "\"hello-1\"");
  CHECK(root.at("faas.coldstart") == "false");
  std::set<std::string> ids;
  for (const Fields& span : spans) {
    CHECK(span.at("traceId") == "4bf92f3577b34da6a3ce929d0e0e4736");
    CHECK(span.at("status") == "ok");
    ids.insert(span.at("spanId"));
    if (span.at("name") != "invocation") CHECK(span.at("parentSpanId") == root.at("spanId"));
  }
  CHECK(ids.size() == 4);
  // The function is told the span that it runs in.
  CHECK(seen == "00-4bf92f3577b34da6a3ce929d0e0e4736-" + named(spans, "execute").at("spanId") + "-01");
}

TEST_CASE("Spans lie where the stages were, in wall time", "[tracing]") {
  TracerRig rig;
  rig.call({});
  const std::vector<Fields> spans = rig.spans();
  const auto begin = [&](const char* name) { return std::stoll(named(spans, name).at("startTimeUnixNano")); };
  const auto end = [&](const char* name) { return std::stoll(named(spans, name).at("endTimeUnixNano")); };
  CHECK(begin("invocation") == 1'800'000'000'000'000'000);
  CHECK(end("invocation") - begin("invocation") == 5'030'000);
  CHECK(begin("arrive") == begin("invocation"));
  CHECK(end("arrive") == begin("decide"));
  CHECK(end("decide") - begin("decide") == 20'000);
  CHECK(end("execute") - begin("execute") == 5'000'000);
  CHECK(end("execute") == end("invocation"));
}

TEST_CASE("A call without a trace begins one of its own", "[tracing]") {
  TracerRig rig;
  const auto one = parse_traceparent(rig.call({}));
  const auto other = parse_traceparent(rig.call("no traceparent"));
  REQUIRE(one);
  REQUIRE(other);
  CHECK(one->trace != other->trace);
  const std::vector<Fields> spans = rig.spans();
  CHECK(spans.size() == 8);
  CHECK(named(spans, "invocation").at("parentSpanId") == "absent");
}

TEST_CASE("A trace that the caller does not record is passed on as it is, and not recorded", "[tracing]") {
  TracerRig rig;
  const std::string caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
  CHECK(rig.call(caller) == caller);
  CHECK(rig.spans().empty());
}

TEST_CASE("Each offload is a span of its own, whose id the peer is told", "[tracing]") {
  TracerRig rig;
  Invocation call = rig.invocation(kCaller);
  rig.tracer->began(call);
  const Peer peer{.key = "node-two", .area = {}, .host = {}, .port = 1, .arch = {}};
  const Error away{ErrorCode::kUnavailable, "secret reason", ""};
  std::vector<std::string> told;
  for (const Error* error : {&away, static_cast<const Error*>(nullptr)}) {
    rig.tracer->entered(call, Stage::kOffload);
    told.push_back(hex(parse_traceparent(call.traceparent)->span));
    rig.tracer->passed(call, {.stage = Stage::kOffload, .peer = &peer, .error = error});
  }
  rig.tracer->rejected(call, {ErrorCode::kNoResources, "secret", "queue_full"});
  const std::vector<Fields> spans = rig.spans();
  REQUIRE(spans.size() == 3);
  for (std::size_t index = 0; index < 2; ++index) {
    CHECK(spans[index].at("name") == "offload");
    CHECK(spans[index].at("kind") == "3");
    CHECK(spans[index].at("peer") == "\"node-two\"");
    CHECK(spans[index].at("spanId") == told[index]);
  }
  CHECK(spans[0].at("status") == "unavailable");
  CHECK(spans[1].at("status") == "ok");
  CHECK(spans[2].at("status") == "queue_full");
}

TEST_CASE("Nothing of params, results and messages is written", "[tracing]") {
  TracerRig rig;
  rig.call(kCaller);
  Invocation call = rig.invocation(kCaller);
  rig.tracer->began(call);
  ExecutionReport report;
  report.failure = Failure{FailureKind::kRaised, "ValueError: secret", "secret"};
  rig.tracer->completed(call, report);
  rig.tracer->rejected(call, {ErrorCode::kInvalid, "secret", "a secret detail"});
  rig.tracer.reset();
  std::ifstream file(rig.folder.file("trace.json"));
  const std::string all(std::istreambuf_iterator<char>(file), {});
  CHECK(all.find("raised") != std::string::npos);
  CHECK(all.find("secret") == std::string::npos);
}

TEST_CASE("Spans that do not fit into the buffer are dropped and counted, and nobody waits", "[tracing]") {
  TraceOptions options;
  options.buffer = 64;
  options.flush_interval = std::chrono::hours(1);
  TracerRig rig(options);
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&rig] {
        for (int i = 0; i < 250; ++i) {
          Invocation call = rig.invocation(kCaller);
          rig.tracer->began(call);
          rig.tracer->rejected(call, {ErrorCode::kNoResources, "full", "queue_full"});
        }
      });
    }
  }
  const std::shared_ptr<Tracer> tracer = rig.tracer;
  const std::uint64_t dropped = tracer->spans().dropped;
  rig.tracer.reset();
  CHECK(tracer->spans().written + dropped <= 1000);
  // What is being written is, in the end; the rest waits in the buffer.
  CHECK(test::eventually([&] { return tracer->spans().written + dropped + 64 >= 1000; }));
}

TEST_CASE("A file that has grown too long is kept once and begun anew", "[tracing]") {
  TraceOptions options;
  options.file_max = 4000;
  options.flush_interval = std::chrono::milliseconds(1);
  TracerRig rig(options);
  const std::string path = rig.folder.file("trace.json");
  for (std::uint64_t call = 1; call <= 10; ++call) {
    rig.call(kCaller);
    const auto deadline = system_clock().now() + std::chrono::seconds(30);
    while (rig.tracer->spans().written < 4 * call && system_clock().now() < deadline) {
      std::this_thread::yield();
    }
  }
  REQUIRE(rig.tracer->spans().written == 40);
  CHECK(std::filesystem::file_size(path) <= 4000);
  CHECK(std::filesystem::file_size(path + ".1") <= 4000);
  CHECK_FALSE(read_spans(path + ".1").empty());
  CHECK_FALSE(rig.spans().empty());
}

TEST_CASE("A file that is there is appended to, only its owner may read a new one", "[tracing]") {
  TracerRig rig;
  rig.call(kCaller);
  rig.tracer.reset();
  const std::string path = rig.folder.file("trace.json");
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  rig.tracer = open_tracer({.file = path, .node = "n"}, std::make_shared<Observer>(), rig.clock).value();
  rig.call(kCaller);
  CHECK(rig.spans().size() == 8);
}

TEST_CASE("A file that cannot be opened is an error at the start", "[tracing]") {
  test::ManualClock clock;
  const test::TemporaryFolder folder;
  for (const std::string& path : {folder.file("missing/trace.json"), folder.path().string()}) {
    const auto tracer = open_tracer({.file = path, .node = "n"}, std::make_shared<Observer>(), clock);
    REQUIRE_FALSE(tracer);
    CHECK(tracer.error().code == ErrorCode::kInvalid);
    CHECK(tracer.error().message.find(path) != std::string::npos);
  }
}

/// Counts warnings.
class Warnings final : public Observer {
 public:
  void log(LogLevel /*level*/, std::string_view event, std::initializer_list<LogField> /*fields*/) override {
    if (event == "trace_not_written") ++count;
  }
  std::atomic<int> count{0};
};

TEST_CASE("A file that can no longer be written costs spans, counted and told to the log", "[tracing]") {
  TraceOptions options;
  options.file_max = 1;  // so that every line begins a file
  options.flush_interval = std::chrono::milliseconds(1);
  TracerRig rig(options);
  const auto warnings = std::make_shared<Warnings>();
  options.file = rig.folder.file("deeper/trace.json");
  std::filesystem::create_directory(rig.folder.path() / "deeper");
  rig.tracer = open_tracer(options, warnings, rig.clock).value();
  std::filesystem::remove_all(rig.folder.path() / "deeper");
  const auto until = [&](const auto& is_so) {
    const auto deadline = system_clock().now() + std::chrono::seconds(30);
    while (!is_so() && system_clock().now() < deadline) std::this_thread::yield();
  };
  rig.call(kCaller);  // the file that was opened takes it
  until([&] { return rig.tracer->spans().written >= 1; });
  rig.call(kCaller);
  until([&] { return rig.tracer->spans().written + rig.tracer->spans().dropped >= 8; });
  CHECK(rig.tracer->spans().dropped >= 1);
  until([&] { return warnings->count >= 1; });
  CHECK(warnings->count >= 1);
  std::filesystem::create_directory(rig.folder.path() / "deeper");
  rig.call(kCaller);  // and it goes on when that is possible again
  rig.tracer.reset();
  CHECK_FALSE(read_spans(options.file).empty());
}

}  // namespace
}  // namespace serverledge
