#include "serverledge/observe/log_observer.hpp"

#include <catch2/catch.hpp>
#include <thread>

#include "serverledge/core/json.hpp"
#include "serverledge/observe/combined_observer.hpp"

namespace serverledge {
namespace {

class StoppedClock final : public Clock {
 public:
  TimePoint now() const override { return time; }
  WallTime wall() const override { return WallTime{} + (time - TimePoint{}); }
  TimePoint time{std::chrono::seconds(1000)};
};

struct LogRig {
  explicit LogRig(LogLevel level = LogLevel::kInfo, LogFormat format = LogFormat::kText)
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
  LogRig quiet;
  quiet.observer->completed(quiet.invocation, quiet.report);
  CHECK(quiet.lines.empty());
  LogRig loud(LogLevel::kDebug);
  loud.observer->completed(loud.invocation, loud.report);
  REQUIRE(loud.lines.size() == 1);
  CHECK(contains(loud.lines[0], "request=hello-1"));
}

TEST_CASE("A failed call is a line with its request and kind, and nothing of params, result or output",
          "[log]") {
  LogRig rig(LogLevel::kDebug);
  rig.report.failure = Failure{FailureKind::kRaised, "ValueError: secret-message", "secret-traceback"};
  rig.observer->completed(rig.invocation, rig.report);
  REQUIRE(rig.lines.size() == 1);
  CHECK(contains(rig.lines[0], "info function failed request=hello-1 function=hello kind=raised"));
  CHECK_FALSE(contains(rig.lines[0], "secret"));
}

TEST_CASE("Refusals for the same reason are written once in ten seconds, with the number left out", "[log]") {
  LogRig rig;
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
  LogRig rig;
  rig.observer->log(LogLevel::kInfo, "event", {{"name", "a b=c\nfake line"}, {"empty", ""}});
  REQUIRE(rig.lines.size() == 1);
  CHECK(contains(rig.lines[0], R"(event name="a b=c\nfake line" empty="")"));
}

TEST_CASE("JSON lines are JSON whatever is in them", "[log]") {
  LogRig rig(LogLevel::kInfo, LogFormat::kJson);
  rig.observer->log(LogLevel::kError, "a \"quoted\" event {}", {{"name", "line\nbreak \xff %v {}"}});
  REQUIRE(rig.lines.size() == 1);
  const auto document = JsonDocument::parse(rig.lines[0]);
  REQUIRE(document);
  CHECK(document->root().find("level")->as_string() == "error");
  CHECK(document->root().find("event")->as_string() == "a \"quoted\" event {}");
  CHECK(document->root().find("name")->as_string() == "line\nbreak \xEF\xBF\xBD %v {}");
}

TEST_CASE("A line is one line, begins with the clock's time in UTC, and cannot command a terminal", "[log]") {
  LogRig rig;
  rig.clock.time += std::chrono::milliseconds(678);
  rig.observer->log(LogLevel::kInfo, "an event\nof two", {{"value", "\x1b[31m"}, {"other", "\x7f"}});
  CHECK(rig.lines == std::vector<std::string>{"1970-01-01T00:16:40.678Z info an event of two "
                                              "value=\"\\u001b[31m\" other=\"\x7f\""});
}

TEST_CASE("Warnings and errors are written once in ten seconds, each for itself, informations always",
          "[log]") {
  LogRig rig;
  for (int i = 0; i < 5; ++i) {
    for (const LogLevel level : {LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
      rig.observer->log(level, "store away", {{"reason", "refused"}});
    }
  }
  CHECK(rig.lines.size() == 7);
  rig.observer->log(LogLevel::kWarning, "store away", {{"reason", "late"}});
  CHECK(rig.lines.size() == 8);
}

TEST_CASE("Nothing of params, results, output or a function's messages is written at any level", "[log]") {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    LogRig rig(LogLevel::kDebug, format);
    rig.observer->completed(rig.invocation, rig.report);
    rig.observer->rejected(rig.invocation, {ErrorCode::kNoResources, "full", "queue_full"});
    rig.observer->container_started(*rig.invocation.function, std::chrono::milliseconds(1), "hello-1");
    rig.observer->container_failed(*rig.invocation.function,
                                   {ErrorCode::kFunctionFailed, "no module", "secret"}, "hello-1");
    rig.observer->container_gone(*rig.invocation.function, "expired", {});
    rig.report.failure = Failure{FailureKind::kRaised, "ValueError: secret-message", "secret-traceback"};
    rig.observer->completed(rig.invocation, rig.report);
    CHECK(rig.lines.size() == 6);
    for (const std::string& line : rig.lines) CHECK_FALSE(contains(line, "secret"));
  }
}

TEST_CASE("However many different warnings there are, what is remembered of them is bounded", "[log]") {
  LogRig rig;
  for (int i = 0; i < 5000; ++i) rig.observer->log(LogLevel::kWarning, "event", {{"n", std::to_string(i)}});
  CHECK(rig.lines.size() == 5000);
}

TEST_CASE("Lines of many threads do not mix", "[log]") {
  LogRig rig;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 8; ++thread) {
      threads.emplace_back([&] {
        for (int i = 0; i < 200; ++i) rig.observer->log(LogLevel::kInfo, "event", {{"value", "abc"}});
      });
    }
  }
  REQUIRE(rig.lines.size() == 1600);
  for (const std::string& line : rig.lines) REQUIRE(line == rig.lines[0]);
}

TEST_CASE("A combined observer tells each of its parts everything", "[log]") {
  LogRig one(LogLevel::kDebug);
  LogRig other(LogLevel::kDebug);
  const auto both = combine({one.observer, other.observer});
  both->completed(one.invocation, one.report);
  both->rejected(one.invocation, {ErrorCode::kDeadline, "late", "deadline"});
  both->container_started(*one.invocation.function, std::chrono::milliseconds(1), "hello-1");
  both->container_failed(*one.invocation.function, {ErrorCode::kUnavailable, "away", {}}, "hello-1");
  both->container_gone(*one.invocation.function, "expired", "hello-1");
  both->log(LogLevel::kInfo, "event", {{"a", "b"}});
  CHECK(one.lines.size() == 6);
  CHECK(one.lines == other.lines);
}

/// Keeps the names of what it is told.
class Recorder final : public Observer {
 public:
  void began(Invocation& /*invocation*/) override { told.emplace_back("began"); }
  void entered(Invocation& /*invocation*/, Stage /*stage*/) override { told.emplace_back("entered"); }
  void passed(const Invocation& /*invocation*/, const StagePassed& /*passed*/) override {
    told.emplace_back("passed");
  }
  std::vector<std::string> told;
};

TEST_CASE("A combined observer tells of stages too, and one alone is not wrapped", "[log]") {
  LogRig rig;
  const auto one = std::make_shared<Recorder>();
  const auto other = std::make_shared<Recorder>();
  const auto both = combine({one, other});
  both->began(rig.invocation);
  both->entered(rig.invocation, Stage::kExecute);
  both->passed(rig.invocation, {});
  CHECK(one->told == std::vector<std::string>{"began", "entered", "passed"});
  CHECK(other->told == one->told);
  CHECK(combine({one}) == one);
}

TEST_CASE("A container that did not start is a line with the request that it was for", "[log]") {
  LogRig rig;
  rig.observer->container_failed(*rig.invocation.function, {ErrorCode::kDeadline, "too slow", ""}, "hello-1");
  REQUIRE(rig.lines.size() == 1);
  CHECK(contains(rig.lines[0], "warning container did not start request=hello-1 function=hello"));
}

TEST_CASE("What becomes of a container is a line with the request that it was for, if it was", "[log]") {
  LogRig rig(LogLevel::kDebug);
  rig.observer->container_started(*rig.invocation.function, std::chrono::milliseconds(2), "hello-1");
  rig.observer->container_gone(*rig.invocation.function, "failed", "hello-1");
  rig.observer->container_gone(*rig.invocation.function, "expired", {});
  REQUIRE(rig.lines.size() == 3);
  CHECK(contains(rig.lines[0], "debug container started request=hello-1 function=hello milliseconds=2.000"));
  CHECK(contains(rig.lines[1], "debug container gone request=hello-1 function=hello reason=failed"));
  CHECK(contains(rig.lines[2], "debug container gone request=none function=hello reason=expired"));
}

TEST_CASE("Levels are known by name", "[log]") {
  CHECK(log_level("warning") == LogLevel::kWarning);
  CHECK_FALSE(log_level("loud"));
}

}  // namespace
}  // namespace serverledge
