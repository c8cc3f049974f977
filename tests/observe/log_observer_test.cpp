#include "serverledge/observe/log_observer.hpp"

#include <catch2/catch.hpp>

#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

class StoppedClock final : public Clock {
 public:
  TimePoint now() const override { return time; }
  WallTime wall() const override { return WallTime{} + (time - TimePoint{}); }
  TimePoint time{std::chrono::seconds(1000)};
};

struct Rig {
  explicit Rig(LogLevel level = LogLevel::kInfo, LogFormat format = LogFormat::kText)
      : observer(make_log_observer(
            {level, format, [this](std::string_view line) { lines.emplace_back(line); }}, clock)) {
    Function function;
    function.name = "hello";
    invocation.id = "hello-1";
    invocation.function = std::make_shared<const Function>(function);
    invocation.body = R"({"password":"secret-param"})";
    invocation.params_size = invocation.body.size();
    report.result = "secret-result";
    report.output = "secret-output";
  }
  StoppedClock clock;
  std::vector<std::string> lines;
  std::shared_ptr<Observer> observer;
  Invocation invocation;
  ExecutionReport report;
};

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST_CASE("A successful call writes no line at the default level, and one at debug", "[log]") {
  Rig quiet;
  quiet.observer->completed(quiet.invocation, quiet.report);
  CHECK(quiet.lines.empty());
  Rig loud(LogLevel::kDebug);
  loud.observer->completed(loud.invocation, loud.report);
  REQUIRE(loud.lines.size() == 1);
  CHECK(contains(loud.lines[0], "request=hello-1"));
}

TEST_CASE("A failed call is a line with its request and kind, and nothing of params, result or output",
          "[log]") {
  Rig rig(LogLevel::kDebug);
  rig.report.failure = Failure{FailureKind::kRaised, "ValueError: secret-message", "secret-traceback"};
  rig.observer->completed(rig.invocation, rig.report);
  REQUIRE(rig.lines.size() == 1);
  CHECK(contains(rig.lines[0], "info function failed request=hello-1 function=hello kind=raised"));
  CHECK_FALSE(contains(rig.lines[0], "secret"));
}

TEST_CASE("Refusals for the same reason are written once in ten seconds, with the number left out", "[log]") {
  Rig rig;
  const Error full{ErrorCode::kNoResources, "full", "queue_full"};
  for (int i = 0; i < 50; ++i) rig.observer->rejected(rig.invocation, full);
  rig.observer->rejected(rig.invocation, {ErrorCode::kNoResources, "late", "deadline"});
  REQUIRE(rig.lines.size() == 2);
  rig.clock.time += std::chrono::seconds(10);
  rig.observer->rejected(rig.invocation, full);
  REQUIRE(rig.lines.size() == 3);
  CHECK(contains(rig.lines[2], "left_out=49"));
}

TEST_CASE("No value can look like another field or line", "[log]") {
  Rig rig;
  rig.observer->log(LogLevel::kInfo, "event", {{"name", "a b=c\nfake line"}, {"empty", ""}});
  REQUIRE(rig.lines.size() == 1);
  CHECK(contains(rig.lines[0], R"(event name="a b=c\nfake line" empty="")"));
}

TEST_CASE("JSON lines are JSON whatever is in them", "[log]") {
  Rig rig(LogLevel::kInfo, LogFormat::kJson);
  rig.observer->log(LogLevel::kError, "a \"quoted\" event {}", {{"name", "line\nbreak \xff %v {}"}});
  REQUIRE(rig.lines.size() == 1);
  const auto document = JsonDocument::parse(rig.lines[0]);
  REQUIRE(document);
  CHECK(document->root().find("level")->as_string() == "error");
  CHECK(document->root().find("event")->as_string() == "a \"quoted\" event {}");
  CHECK(document->root().find("name")->as_string() == "line\nbreak \xEF\xBF\xBD %v {}");
}

TEST_CASE("Levels are known by name", "[log]") {
  CHECK(log_level("warning") == LogLevel::kWarning);
  CHECK_FALSE(log_level("loud"));
}

}  // namespace
}  // namespace serverledge
