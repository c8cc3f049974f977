// A scheduler with a runtime of the program's own: queue, policies, cold starts and keep-alive for functions
// that are C++ code, without HTTP, store and sandbox. Needs serverledge::core.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <serverledge/node/invoker.hpp>
#include <serverledge/policy/local_only_policy.hpp>

using namespace serverledge;

namespace {

using Body = std::function<std::string(std::string_view params)>;

/// Containers that call a C++ function.
class NativeRuntime final : public ContainerRuntime {
 public:
  explicit NativeRuntime(std::map<std::string, Body> bodies) : bodies_(std::move(bodies)) {}

  Result<std::unique_ptr<Container>> create(const Function& function, TimePoint) override {
    const auto body = bodies_.find(function.name);
    if (body == bodies_.end()) return Unexpected(ErrorCode::kNotFound, "no function " + function.name);
    return std::unique_ptr<Container>(std::make_unique<Native>(body->second));
  }
  Result<void> prepare(const Function&, bool, TimePoint) override { return {}; }
  std::vector<Served> runtimes() const override { return {{"custom", "C++ of this program"}}; }
  Result<std::vector<std::string>> architectures(const Function&) override {
    return std::vector<std::string>{"amd64", "arm64"};
  }
  void shutdown() noexcept override {}

 private:
  class Native final : public Container {
   public:
    explicit Native(const Body& body) : body_(body) {}
    Reply invoke(const Call& call) override {
      Reply reply;
      reply.result = body_(call.params);
      return reply;
    }
    void destroy() noexcept override {}

   private:
    const Body& body_;
  };
  std::map<std::string, Body> bodies_;
};

Invocation invocation_of(const FunctionPtr& function) {
  Invocation invocation;
  invocation.function = function;
  invocation.body = R"({"text": "hello"})";
  invocation.params_size = invocation.body.size();
  invocation.arrival = system_clock().now();
  return invocation;
}

/// From a thread that must not block: it waits for one descriptor, with all the others that it may have.
int call_from_event_loop(Invoker& invoker, const FunctionPtr& function, int calls) {
  const int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int ended = 0;
  int answered = 0;
  CompletionQueue home([wake] { ::eventfd_write(wake, 1); });
  for (int call = 0; call < calls; ++call) {
    Invocation invocation = invocation_of(function);
    invocation.asynchronous =
        true;  // waits beyond the capacity of the queue, after those that somebody waits for
    const auto submitted =
        invoker.submit(std::move(invocation), home, [&](const Result<ExecutionReport>& report) {
          ++ended;
          if (report && !report->failure) ++answered;
        });
    if (!submitted) ++ended;
  }
  while (ended < calls) {
    pollfd descriptor{wake, POLLIN, 0};
    if (::poll(&descriptor, 1, 10'000) == 0) break;
    std::uint64_t posts = 0;
    ::eventfd_read(wake, &posts);
    home.drain();  // runs what was given to `submit`, on this thread
  }
  ::close(wake);
  return answered;
}

}  // namespace

int main() {
  NativeRuntime runtime({{"length", [](std::string_view params) { return std::to_string(params.size()); }}});
  LocalOnlyPolicy policy;
  TtlKeepAlive keep_alive(std::chrono::minutes(10));
  Observer observer;
  Invoker invoker(
      {.node = "here"}, {.runtime = runtime, .policy = policy, .observer = observer, .clock = system_clock()},
      [&](LeaseHome& home) {
        return make_scheduler(
            {.queue_capacity = 100},
            make_container_pool({.total = {.memory_mb = 64, .millicores = 2000}}, keep_alive, home));
      });
  Function function;
  function.name = "length";
  function.runtime = "custom";
  function.memory_mb = 32;
  const auto length = std::make_shared<const Function>(std::move(function));
  invoker.function_changed("length", length);

  // Two containers have room, and four threads call: two of them wait in the queue at a time.
  std::array<std::thread, 4> callers;
  for (std::thread& caller : callers) {
    caller = std::thread([&invoker, &length] {
      Invocation invocation = invocation_of(length);
      const Result<ExecutionReport> report = invoker.invoke(invocation);
      std::printf("%s\n", report ? report->result.c_str() : report.error().message.c_str());
    });
  }
  for (std::thread& caller : callers) caller.join();
  std::printf("from an event loop: %d\n", call_from_event_loop(invoker, length, 2000));
  invoker.tick();  // once a second in a program that goes on: expiry, and destroying what nobody waits for
  invoker.close();
  invoker.kill();
}
