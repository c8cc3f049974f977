#include <catch2/catch.hpp>

#include <atomic>
#include <future>
#include <set>
#include <thread>

#include "serverledge/node/invoker.hpp"
#include "serverledge/policy/local_only_policy.hpp"
#include "support/gate.hpp"
#include "support/machine.hpp"
#include "support/scripted_runtime.hpp"

namespace serverledge::testing {
namespace {

using test::Gate;

/// An invoker over scripted containers, with room for `memory_mb`.
struct InvokerRig {
  explicit InvokerRig(std::int64_t memory_mb = 1024, std::size_t queue_capacity = 100,
                      std::unique_ptr<OffloadingPolicy> chosen = std::make_unique<LocalOnlyPolicy>(),
                      InvokerOptions options = {}, Observer* watched_by = nullptr)
      : policy(std::move(chosen)),
        watcher(watched_by != nullptr ? watched_by : &observer),
        invoker(options,
                {.runtime = runtime, .policy = *policy, .observer = *watcher, .clock = system_clock()},
                [&](LeaseHome& home) {
                  return make_scheduler(
                      {.queue_capacity = queue_capacity, .queue_timeout = std::chrono::seconds(30)},
                      make_container_pool({.total = {memory_mb, 8000}, .max_starts = 4}, keep_alive, home));
                }) {
    announce(f);
  }

  void announce(const FunctionPtr& function) { invoker.function_changed(function->name, function); }

  Result<ExecutionReport> call(const FunctionPtr& function, std::string params = "{}",
                               std::stop_token gone = {}, Duration max_response_time = Duration::zero()) {
    Invocation invocation;
    invocation.id = "test";
    invocation.function = function;
    invocation.body = std::move(params);
    invocation.params_size = invocation.body.size();
    invocation.arrival = system_clock().now();
    invocation.caller_gone = std::move(gone);
    invocation.max_response_time = max_response_time;
    return invoker.invoke(invocation);
  }

  FunctionPtr f = make_function("f");
  ScriptedRuntime runtime;
  TtlKeepAlive keep_alive{std::chrono::seconds(600)};
  std::unique_ptr<OffloadingPolicy> policy;
  Observer observer;
  Observer* watcher;
  Invoker invoker;
};

/// Notes what an invoker tells, as words.
class StageRecorder final : public Observer {
 public:
  void began(Invocation& invocation) override {
    add("began");
    invocation.traceparent = "trace";
  }
  void entered(Invocation& invocation, Stage stage) override {
    add("entered " + name(stage));
    invocation.traceparent = name(stage);
  }
  void passed(const Invocation& /*invocation*/, const StagePassed& passed) override {
    std::string line = "passed " + name(passed.stage);
    if (passed.error != nullptr) line += " error";
    if (passed.failure != nullptr) line += " failure";
    if (passed.end < passed.begin || passed.begin == TimePoint{}) line += " at no time";
    add(line);
  }
  void completed(const Invocation& /*invocation*/, const ExecutionReport& /*report*/) override {
    add("completed");
  }
  void rejected(const Invocation& /*invocation*/, const Error& /*error*/) override { add("rejected"); }
  std::vector<std::string> take() {
    const std::scoped_lock lock(mutex_);
    return std::exchange(told_, {});
  }

 private:
  static std::string name(Stage stage) {
    constexpr const char* kNames[] = {"decide", "wait", "start", "execute", "offload"};
    return kNames[static_cast<int>(stage)];
  }
  void add(std::string line) {
    const std::scoped_lock lock(mutex_);
    told_.push_back(std::move(line));
  }
  std::mutex mutex_;
  std::vector<std::string> told_;
};

/// The pool is as it was before: nothing is busy.
void check_at_rest(const InvokerRig& rig) {
  CHECK(rig.invoker.view({}).busy == Resources{});
  CHECK(rig.invoker.view({}).queued == 0);
  CHECK(rig.invoker.calls() == 0);
}

TEST_CASE("Concurrent calls all get their own answer, and never share a container", "[invoker]") {
  InvokerRig rig(512);
  std::atomic<int> wrong{0};
  rig.runtime.on_call = [](const Function&, const Call& call) {
    std::this_thread::yield();
    return Reply{.result = std::string(call.params), .failure = {}, .output = {}, .doomed = false};
  };
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 16; ++caller) {
    callers.emplace_back([&rig, &wrong, caller] {
      for (int i = 0; i < 200; ++i) {
        const std::string params = std::to_string(caller * 1000 + i);
        const auto report = rig.call(rig.f, params);
        if (!report || report->result != params) ++wrong;
      }
    });
  }
  callers.clear();
  CHECK(wrong == 0);
  CHECK(rig.runtime.calls_at_once_worst == 1);
  CHECK(rig.runtime.created <= 4);
  check_at_rest(rig);
}

TEST_CASE("An observer is told of every stage, and what is handed on carries the trace it set", "[invoker]") {
  using Lines = std::vector<std::string>;
  StageRecorder recorder;
  InvokerRig rig(128, 100, std::make_unique<LocalOnlyPolicy>(), {}, &recorder);
  std::string seen;
  rig.runtime.on_call = [&](const Function&, const Call& call) {
    seen = call.traceparent;
    return Reply{.result = "1", .failure = {}, .output = {}, .doomed = false};
  };
  CHECK(rig.call(rig.f));
  CHECK(recorder.take() ==
        Lines{"began", "passed decide", "passed start", "entered execute", "passed execute", "completed"});
  CHECK(seen == "execute");
  rig.runtime.on_call = [](const Function&, const Call&) {
    return Reply{.result = {}, .failure = Failure{}, .output = {}, .doomed = true};
  };
  CHECK(rig.call(rig.f));
  CHECK(recorder.take() ==
        Lines{"began", "passed decide", "entered execute", "passed execute failure", "completed"});
  rig.runtime.on_create = [](const Function&) -> Result<void> {
    return Unexpected(ErrorCode::kFunctionFailed, "no such module");
  };
  CHECK(rig.call(rig.f));
  CHECK(recorder.take() == Lines{"began", "passed decide", "passed start error", "completed"});
}

TEST_CASE("An observer is told of waits that found a place, and of those that did not", "[invoker]") {
  using Lines = std::vector<std::string>;
  StageRecorder recorder;
  InvokerRig rig(128, 100, std::make_unique<LocalOnlyPolicy>(), {}, &recorder);
  CHECK(rig.call(rig.f));
  Gate gate;
  rig.runtime.hold_at(gate);
  std::atomic<int> answered{0};
  std::jthread holder([&] { answered += rig.call(rig.f, "\"hold\"") ? 1 : 0; });
  REQUIRE(gate.wait_for_arrivals(1));
  recorder.take();
  // Long enough for a slow machine to get as far as waiting.
  CHECK_FALSE(rig.call(rig.f, "{}", {}, std::chrono::milliseconds(500)));
  CHECK(recorder.take() == Lines{"began", "passed decide", "passed wait error", "rejected"});
  std::jthread waiter([&] { answered += rig.call(rig.f) ? 1 : 0; });
  while (rig.invoker.view({}).queued == 0) std::this_thread::yield();
  recorder.take();
  gate.open();
  holder.join();
  waiter.join();
  CHECK(answered == 2);
  const Lines told = recorder.take();
  CHECK(std::ranges::count(told, "passed wait") == 1);
  CHECK(std::ranges::count(told, "completed") == 2);
}

TEST_CASE("A call runs on the thread that brought it, also when it had to wait", "[invoker]") {
  InvokerRig rig(128);
  std::mutex mutex;
  std::set<std::thread::id> runners;
  rig.runtime.on_call = [&](const Function&, const Call&) {
    const std::scoped_lock lock(mutex);
    runners.insert(std::this_thread::get_id());
    return Reply{.result = "1", .failure = {}, .output = {}, .doomed = false};
  };
  std::set<std::thread::id> callers;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < 50; ++j) (void)rig.call(rig.f);
      });
      callers.insert(threads.back().get_id());
    }
  }
  CHECK(std::ranges::includes(callers, runners));
}

TEST_CASE("A report tells cold from warm, and the times apart", "[invoker]") {
  InvokerRig rig;
  const auto cold = rig.call(rig.f);
  REQUIRE(cold);
  CHECK_FALSE(cold->warm);
  CHECK(cold->init_time > Duration::zero());
  CHECK(cold->response_time >= cold->init_time + cold->duration);
  const auto warm = rig.call(rig.f);
  REQUIRE(warm);
  CHECK(warm->warm);
  CHECK(warm->init_time == Duration::zero());
  CHECK(warm->queueing_time == Duration::zero());
}

TEST_CASE("Code that does not load fails the call as `start`, and nothing stays held", "[invoker]") {
  InvokerRig rig;
  rig.runtime.on_create = [](const Function&) -> Result<void> {
    return Unexpected(ErrorCode::kFunctionFailed, "ImportError: no module named x", "Traceback ...");
  };
  const auto failed = rig.call(rig.f);
  REQUIRE(failed);
  REQUIRE(failed->failure);
  CHECK(failed->failure->kind == FailureKind::kStart);
  CHECK(failed->failure->message == "ImportError: no module named x");
  CHECK(failed->failure->traceback == "Traceback ...");
  CHECK(rig.invoker.view({}).held == Resources{});
  rig.runtime.on_create = [](const Function&) { return Result<void>(); };
  CHECK_FALSE(rig.call(rig.f)->failure);
}

TEST_CASE("A failed call that dooms its container frees its memory before the caller has the answer",
          "[invoker]") {
  InvokerRig rig(128, 0);
  rig.runtime.on_call = [](const Function&, const Call&) {
    return Reply{.result = {},
                 .failure = Failure{FailureKind::kTimeout, "too long", ""},
                 .output = {},
                 .doomed = true};
  };
  for (int i = 0; i < 20; ++i) {
    const auto report = rig.call(rig.f);
    REQUIRE(report);
    CHECK(report->failure->kind == FailureKind::kTimeout);
    CHECK_FALSE(report->warm);
    CHECK(rig.runtime.living == 0);
  }
  CHECK(rig.invoker.view({}).held == Resources{});
}

TEST_CASE("A handler's own exception keeps the container warm", "[invoker]") {
  InvokerRig rig;
  rig.runtime.on_call = [](const Function&, const Call&) {
    return Reply{.result = {},
                 .failure = Failure{FailureKind::kRaised, "ValueError: x", ""},
                 .output = {},
                 .doomed = false};
  };
  CHECK(rig.call(rig.f)->failure->kind == FailureKind::kRaised);
  CHECK(rig.call(rig.f)->warm);
  CHECK(rig.runtime.created == 1);
}

TEST_CASE("A container that died while idle is replaced, and the call knows nothing of it", "[invoker]") {
  InvokerRig rig;
  REQUIRE(rig.call(rig.f));
  rig.runtime.kill_idle = true;
  const auto report = rig.call(rig.f, "7");
  REQUIRE(report);
  CHECK(report->result == "7");
  CHECK(rig.runtime.created == 2);
  CHECK(rig.runtime.living == 1);
}

TEST_CASE("A caller that hangs up while waiting is dropped, and its call never runs", "[invoker]") {
  InvokerRig rig(128);
  Gate gate;
  rig.runtime.hold_at(gate);
  std::jthread holder([&] { (void)rig.call(rig.f, "\"hold\""); });
  REQUIRE(gate.wait_for_arrivals(1));
  std::stop_source gone;
  auto waiting =
      std::async(std::launch::async, [&] { return rig.call(rig.f, "\"late\"", gone.get_token()); });
  while (rig.invoker.view({}).queued == 0) std::this_thread::yield();
  gone.request_stop();
  const auto dropped = waiting.get();
  REQUIRE_FALSE(dropped);
  CHECK(dropped.error().code == ErrorCode::kCancelled);
  CHECK(rig.invoker.view({}).queued == 0);
  gate.open();
}

TEST_CASE("A waiting call is refused when its QoSMaxRespT has passed", "[invoker]") {
  InvokerRig rig(128);
  Gate gate;
  rig.runtime.hold_at(gate);
  std::jthread holder([&] { (void)rig.call(rig.f, "\"hold\""); });
  REQUIRE(gate.wait_for_arrivals(1));
  const auto late = rig.call(rig.f, "1", {}, std::chrono::milliseconds(30));
  REQUIRE_FALSE(late);
  CHECK(late.error().code == ErrorCode::kNoResources);
  CHECK(late.error().detail == "deadline");
  gate.open();
}

TEST_CASE("A cold start that outlasts its caller leaves a warm container", "[invoker]") {
  InvokerRig rig;
  std::stop_source gone;
  rig.runtime.on_create = [&](const Function&) {
    gone.request_stop();
    return Result<void>();
  };
  const auto dropped = rig.call(rig.f, "1", gone.get_token());
  REQUIRE_FALSE(dropped);
  CHECK(dropped.error().code == ErrorCode::kCancelled);
  CHECK(rig.invoker.view("f").warm == 1);
}

TEST_CASE("A function's own timeout, or else the node's, is the deadline of its calls", "[invoker]") {
  InvokerOptions options;
  options.default_timeout = std::chrono::seconds(60);
  InvokerRig rig(1024, 0, std::make_unique<LocalOnlyPolicy>(), options);
  Function quick = *make_function("quick");
  quick.timeout_sec = 2.0;
  rig.announce(std::make_shared<const Function>(quick));
  Duration left{};
  rig.runtime.on_call = [&](const Function&, const Call& call) {
    left = call.deadline - system_clock().now();
    return Reply{.result = "1", .failure = {}, .output = {}, .doomed = false};
  };
  REQUIRE(rig.call(rig.f));
  CHECK(left > std::chrono::seconds(50));
  CHECK(left <= std::chrono::seconds(60));
  REQUIRE(rig.call(std::make_shared<const Function>(quick)));
  CHECK(left <= std::chrono::seconds(2));
}

class RaisingPolicy final : public OffloadingPolicy {
 public:
  Decision on_arrival(const Invocation&, const NodeView&) override {
    throw std::runtime_error("a bug of a researcher");
  }
  void on_completion(const Invocation&, const ExecutionReport&) override { throw 42; }
};

TEST_CASE("A policy that raises is counted and treated as localonly", "[invoker]") {
  InvokerRig rig(1024, 0, std::make_unique<RaisingPolicy>());
  for (int i = 0; i < 3; ++i) CHECK(rig.call(rig.f).has_value());
  CHECK(rig.invoker.policy_failures() == 6);
}

TEST_CASE("Prewarming starts as many as fit and says how many, none only prepares", "[invoker]") {
  InvokerRig rig(300);
  CHECK(rig.invoker.prewarm(rig.f, 0, false).value() == 0);
  CHECK(rig.runtime.prepared == 1);
  CHECK(rig.runtime.created == 0);
  CHECK(rig.invoker.prewarm(rig.f, 5, false).value() == 2);
  CHECK(rig.invoker.view("f").warm == 2);
  CHECK(rig.call(rig.f)->warm);
}

TEST_CASE("Prewarming with code that does not load says why", "[invoker]") {
  InvokerRig rig;
  rig.runtime.on_create = [](const Function&) -> Result<void> {
    return Unexpected(ErrorCode::kFunctionFailed, "SyntaxError: invalid syntax");
  };
  const auto prewarmed = rig.invoker.prewarm(rig.f, 2, false);
  REQUIRE_FALSE(prewarmed);
  CHECK(prewarmed.error().message == "SyntaxError: invalid syntax");
  CHECK(rig.invoker.view({}).held == Resources{});
}

TEST_CASE("The end of an invoker refuses who waits, waits for who runs, and leaves no container",
          "[invoker]") {
  InvokerRig rig(128);
  Gate gate;
  rig.runtime.hold_at(gate);
  auto running = std::async(std::launch::async, [&] { return rig.call(rig.f, "\"hold\""); });
  REQUIRE(gate.wait_for_arrivals(1));
  auto waiting = std::async(std::launch::async, [&] { return rig.call(rig.f); });
  while (rig.invoker.view({}).queued == 0) std::this_thread::yield();
  rig.invoker.close();
  CHECK(waiting.get().error().code == ErrorCode::kCancelled);
  CHECK_FALSE(rig.invoker.drain(system_clock().now()));
  gate.open();
  CHECK(running.get().has_value());
  rig.invoker.kill();
  CHECK(rig.runtime.living == 0);
  CHECK(rig.call(rig.f).error().code == ErrorCode::kCancelled);
}

}  // namespace
}  // namespace serverledge::testing
