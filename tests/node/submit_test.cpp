#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>

#include "serverledge/node/invoker.hpp"
#include "serverledge/policy/local_only_policy.hpp"
#include "support/eventually.hpp"
#include "support/gate.hpp"
#include "support/machine.hpp"
#include "support/scripted_runtime.hpp"

namespace serverledge::testing {
namespace {

using test::eventually;

TimePoint in_a_minute() { return later(system_clock().now(), std::chrono::minutes(1)); }

/// Counts the ends that an invoker tells of.
class EndCounter final : public Observer {
 public:
  void completed(const Invocation& /*invocation*/, const ExecutionReport& /*report*/) override {
    ++completions;
  }
  void rejected(const Invocation& /*invocation*/, const Error& /*error*/) override { ++rejections; }
  std::atomic<int> completions{0};
  std::atomic<int> rejections{0};
};

/// An invoker over scripted containers of 128 MB, whose calls with the params "hold" wait at a gate, and a
/// host that submits to it.
struct Host {
  explicit Host(std::int64_t memory_mb, int workers = 64, std::size_t capacity = 10000)
      : invoker(limited(workers, capacity),
                {.runtime = runtime, .policy = policy, .observer = counter, .clock = system_clock()},
                [&](LeaseHome& home) {
                  return make_scheduler(
                      {.queue_capacity = 5000, .queue_timeout = std::chrono::seconds(60)},
                      make_container_pool({.total = {memory_mb, 8000}, .max_starts = 4}, keep_alive, home));
                }) {
    runtime.hold_at(gate);
    invoker.function_changed(f->name, f);
  }

  static InvokerOptions limited(int workers, std::size_t capacity) {
    InvokerOptions options;
    options.submit_workers = workers;
    options.submit_capacity = capacity;
    return options;
  }

  Invocation invocation(std::string params) const {
    Invocation made;
    made.id = "f-" + params;
    made.function = f;
    made.body = std::move(params);
    made.params_size = made.body.size();
    made.arrival = system_clock().now();
    return made;
  }

  Result<std::shared_ptr<SubmittedCall>> submit(std::string params) {
    return invoker.submit(invocation(std::move(params)), queue, [this](Result<ExecutionReport> outcome) {
      ended_on = std::this_thread::get_id();
      outcomes.push_back(std::move(outcome));
    });
  }

  /// Drains until that many have ended in all.
  void drain_until(std::size_t count) {
    while (outcomes.size() < count && queue.wait(in_a_minute())) queue.drain();
    REQUIRE(outcomes.size() == count);
  }

  void wait_until_queued(std::size_t count) {
    REQUIRE(eventually([&] { return invoker.view({}).queued == count; }));
  }

  FunctionPtr f = make_function("f");
  ScriptedRuntime runtime;
  TtlKeepAlive keep_alive{std::chrono::seconds(600)};
  LocalOnlyPolicy policy;
  EndCounter counter;
  test::Gate gate;
  std::atomic<int> notified{0};
  CompletionQueue queue{[this] { ++notified; }};
  std::vector<Result<ExecutionReport>> outcomes;
  std::thread::id ended_on;
  Invoker invoker;
};

TEST_CASE("A submitted call ends where its host drains, with what invoke would have given", "[submit]") {
  Host host(1024);
  const auto call = host.submit("7");
  REQUIRE(call);
  CHECK((*call)->id() == "f-7");
  CHECK(host.queue.wait(in_a_minute()));
  CHECK(host.outcomes.empty());
  CHECK(host.queue.drain() == 1);
  CHECK(host.ended_on == std::this_thread::get_id());
  REQUIRE(host.outcomes[0]);
  CHECK(host.outcomes[0]->result == "7");
  CHECK(host.notified == 1);
  CHECK_FALSE((*call)->cancel());
  CHECK(host.queue.drain() == 0);
}

TEST_CASE("2,000 submitted calls are in flight on four threads, and each gets its own answer", "[submit]") {
  Host host(512, 4);
  std::set<std::thread::id> threads;
  std::mutex mutex;
  host.runtime.on_call = [&](const Function&, const Call& call) {
    host.gate.wait();
    const std::scoped_lock lock(mutex);
    threads.insert(std::this_thread::get_id());
    return Reply{.result = std::string(call.params), .failure = {}, .output = {}, .doomed = false};
  };
  std::vector<int> answers(2000, 0);
  for (int i = 0; i < 2000; ++i) {
    const auto call = host.invoker.submit(host.invocation(std::to_string(i)), host.queue,
                                          [&, i](const Result<ExecutionReport>& outcome) {
                                            host.outcomes.push_back(outcome);
                                            if (outcome && outcome->result == std::to_string(i))
                                              ++answers[static_cast<std::size_t>(i)];
                                          });
    REQUIRE(call);
  }
  REQUIRE(host.gate.wait_for_arrivals(4));
  CHECK(host.outcomes.empty());
  host.gate.open();
  host.drain_until(2000);
  CHECK(answers == std::vector<int>(2000, 1));
  CHECK(threads.size() <= 4);
  CHECK(host.invoker.view({}).busy == Resources{});
}

TEST_CASE("A submitted call that waits in the queue holds no thread", "[submit]") {
  Host host(128, 2);
  REQUIRE(host.submit("\"hold\""));
  REQUIRE(host.gate.wait_for_arrivals(1));
  // With one thread busy, the other takes up all of these, one after the other.
  for (int i = 0; i < 100; ++i) REQUIRE(host.submit(std::to_string(i)));
  host.wait_until_queued(100);
  host.gate.open();
  host.drain_until(101);
  for (const auto& outcome : host.outcomes) CHECK(outcome);
}

TEST_CASE("A submitted call that is cancelled in the queue ends at once, and is never run", "[submit]") {
  Host host(128);
  REQUIRE(host.submit("\"hold\""));
  REQUIRE(host.gate.wait_for_arrivals(1));
  const auto waiting = host.submit("1");
  host.wait_until_queued(1);
  CHECK((*waiting)->cancel());
  CHECK_FALSE((*waiting)->cancel());
  host.drain_until(1);
  REQUIRE_FALSE(host.outcomes[0]);
  CHECK(host.outcomes[0].error().code == ErrorCode::kCancelled);
  host.wait_until_queued(0);
  host.gate.open();
  host.drain_until(2);
  REQUIRE(host.outcomes[1]);
  CHECK(host.outcomes[1]->result == "\"hold\"");
  CHECK(eventually([&] { return host.counter.rejections == 1 && host.counter.completions == 1; }));
}

TEST_CASE("A submitted call that is cancelled before a thread took it up is never begun", "[submit]") {
  Host host(1024, 1);
  REQUIRE(host.submit("\"hold\""));
  REQUIRE(host.gate.wait_for_arrivals(1));
  const auto behind = host.submit("1");
  CHECK((*behind)->cancel());
  host.drain_until(1);
  CHECK(host.outcomes[0].error().code == ErrorCode::kCancelled);
  CHECK(host.counter.rejections == 0);
  host.gate.open();
  host.drain_until(2);
  CHECK(eventually([&] { return host.counter.rejections == 1; }));
  CHECK(host.runtime.created == 1);
}

TEST_CASE("A submitted call that is cancelled while it runs goes on, and its answer is dropped", "[submit]") {
  Host host(1024);
  const auto running = host.submit("\"hold\"");
  REQUIRE(host.gate.wait_for_arrivals(1));
  CHECK((*running)->cancel());
  host.drain_until(1);
  CHECK(host.outcomes[0].error().code == ErrorCode::kCancelled);
  CHECK(host.counter.completions == 0);
  host.gate.open();
  CHECK(eventually([&] { return host.counter.completions == 1; }));
  host.invoker.kill();
  CHECK(host.queue.drain() == 0);
  CHECK(host.outcomes.size() == 1);
}

TEST_CASE("Submitted calls beyond submit.capacity are refused", "[submit]") {
  Host host(1024, 64, 2);
  REQUIRE(host.submit("\"hold\""));
  REQUIRE(host.submit("\"hold\""));
  const auto third = host.submit("1");
  REQUIRE_FALSE(third);
  CHECK(third.error().code == ErrorCode::kNoResources);
  CHECK(third.error().message.find("submit.capacity") != std::string::npos);
  host.gate.open();
  host.drain_until(2);
  // A place is free as soon as the thread that ran a call has put it away.
  CHECK(eventually([&] { return host.submit("1").has_value(); }));
}

TEST_CASE("An invoker that ends refuses the submitted calls that wait, and lets end those that run",
          "[submit]") {
  Host host(128, 2);
  REQUIRE(host.submit("\"hold\""));
  REQUIRE(host.gate.wait_for_arrivals(1));
  for (int i = 0; i < 50; ++i) REQUIRE(host.submit(std::to_string(i)));
  host.wait_until_queued(50);
  host.invoker.close();
  host.drain_until(50);
  for (const auto& outcome : host.outcomes) CHECK(outcome.error().code == ErrorCode::kCancelled);
  CHECK(host.submit("1").error().code == ErrorCode::kCancelled);
  host.gate.open();
  host.invoker.kill();
  host.drain_until(51);
  CHECK(host.outcomes.back()->result == "\"hold\"");
}

TEST_CASE("A completion queue may go before its calls, which go on", "[submit]") {
  Host host(1024);
  auto queue = std::make_unique<CompletionQueue>();
  bool told = false;
  REQUIRE(host.invoker.submit(host.invocation("\"hold\""), *queue,
                              [&](const Result<ExecutionReport>&) { told = true; }));
  REQUIRE(host.gate.wait_for_arrivals(1));
  queue.reset();
  host.gate.open();
  CHECK(eventually([&] { return host.counter.completions == 1; }));
  host.invoker.kill();
  CHECK_FALSE(told);
}

TEST_CASE("A cancelled call may be asked about after its invoker has gone", "[submit]") {
  std::shared_ptr<SubmittedCall> call;
  {
    Host host(1024);
    call = *host.submit("1");
    host.drain_until(1);
  }
  CHECK(call->id() == "f-1");
  CHECK_FALSE(call->cancel());
}

TEST_CASE("Calls that are cancelled from many threads while they end, end once each", "[submit]") {
  Host host(256);
  constexpr int kCalls = 400;
  std::vector<std::shared_ptr<SubmittedCall>> calls;
  for (int i = 0; i < kCalls; ++i) calls.push_back(*host.submit(std::to_string(i)));
  std::atomic<int> cancelled{0};
  {
    std::vector<std::jthread> cancellers;
    for (int thread = 0; thread < 4; ++thread) {
      cancellers.emplace_back([&] {
        for (auto call = calls.rbegin(); call != calls.rend(); ++call) cancelled += (*call)->cancel() ? 1 : 0;
      });
    }
  }
  host.drain_until(kCalls);
  const auto failed = std::ranges::count_if(host.outcomes, [](const auto& outcome) { return !outcome; });
  CHECK(failed == cancelled);
  host.invoker.kill();
  CHECK(host.queue.drain() == 0);
  CHECK(host.invoker.view({}).busy == Resources{});
  CHECK(host.counter.completions + host.counter.rejections == kCalls);
}

TEST_CASE("A completion queue hands out in order, as much as is wanted, and takes more meanwhile",
          "[submit]") {
  int notified = 0;
  CompletionQueue queue([&] { ++notified; });
  const CompletionQueue::Poster poster = queue.poster();
  std::string ran;
  poster.post([&] {
    ran += "a";
    poster.post([&] { ran += "c"; });
  });
  poster.post([&] { ran += "b"; });
  CHECK(notified == 1);
  CHECK(queue.size() == 2);
  CHECK(queue.drain(1) == 1);
  CHECK(ran == "a");
  CHECK(queue.drain() == 2);
  CHECK(ran == "abc");
  CHECK_FALSE(queue.wait(system_clock().now()));
  poster.post([] { throw std::runtime_error("the host's"); });
  poster.post([&] { ran += "d"; });
  CHECK(notified == 2);
  CHECK_THROWS_AS(queue.drain(), std::runtime_error);
  CHECK(queue.drain() == 1);
  CHECK(ran == "abcd");
}

}  // namespace
}  // namespace serverledge::testing
