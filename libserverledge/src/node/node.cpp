#include "serverledge/node/node.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "node/async_invocations.hpp"
#include "serverledge/core/request_id.hpp"

namespace serverledge {
namespace {

/// Runs something about every `interval`, sooner when woken, on a thread of its own.
class Upkeep {
 public:
  Upkeep(Duration interval, std::function<void()> work) : interval_(interval), work_(std::move(work)) {}
  ~Upkeep() { stop(); }

  void start() {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }

  void wake() {
    const std::scoped_lock lock(mutex_);
    woken_ = true;
    changed_.notify_one();
  }

  void stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      work_();
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, interval_, [this] { return woken_; });
      woken_ = false;
    }
  }

  const Duration interval_;
  const std::function<void()> work_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool woken_ = false;
  std::jthread thread_;
};

std::unique_ptr<Scheduler> make_local_scheduler(const NodeOptions& options, KeepAlivePolicy& keep_alive,
                                                LeaseHome& home) {
  return make_scheduler(
      {.queue_capacity = options.queue_capacity, .queue_timeout = options.invoker.queue_timeout},
      make_container_pool({.total = options.total, .max_starts = options.container_starts}, keep_alive,
                          home));
}

}  // namespace

struct Node::State {
  State(NodeOptions chosen, NodeParts given)
      : options(std::move(chosen)),
        parts(std::move(given)),
        invoker(options.invoker,
                {.runtime = parts.runtime,
                 .policy = *parts.policy,
                 .observer = parts.observer,
                 .clock = parts.clock,
                 .peers = parts.peers,
                 .link = parts.link},
                [this](LeaseHome& home) { return make_local_scheduler(options, *parts.keep_alive, home); }),
        async(invoker, parts.results, parts.observer, options.async_capacity, options.async_workers),
        upkeep(options.upkeep_interval, [this] {
          invoker.tick();
          if (parts.on_upkeep) parts.on_upkeep();
        }) {}

  const NodeOptions options;
  NodeParts parts;
  Invoker invoker;
  AsyncInvocations async;
  Upkeep upkeep;
  std::atomic<bool> stopping{false};
  std::atomic<TimePoint::rep> drain_until{TimePoint::max().time_since_epoch().count()};
  std::mutex stop_mutex;
  bool stopped = false;
};

Node::Node(NodeOptions options, NodeParts parts)
    : state_(std::make_unique<State>(std::move(options), std::move(parts))) {
  State& state = *state_;
  state.invoker.on_upkeep([&state] { state.upkeep.wake(); });
  state.parts.registry.on_change([&state](const std::string& name, const FunctionPtr& current) {
    state.invoker.function_changed(name, current);
  });
  state.upkeep.start();
}

Node::~Node() { stop(Duration::zero()); }

Result<ExecutionReport> Node::invoke(Invocation& invocation) {
  if (invocation.id.empty()) invocation.id = new_request_id(invocation.function->name);
  return state_->invoker.invoke(invocation);
}

Result<std::string> Node::invoke_async(Invocation invocation) {
  if (invocation.id.empty()) {
    const InvokerOptions& self = state_->options.invoker;
    invocation.id = new_request_id(invocation.function->name, request_tag(self.area, self.node));
  }
  return state_->async.accept(std::move(invocation));
}

Result<std::shared_ptr<SubmittedCall>> Node::submit(Invocation invocation, CompletionQueue& home,
                                                    Invoker::Done done) {
  if (invocation.id.empty()) invocation.id = new_request_id(invocation.function->name);
  return state_->invoker.submit(std::move(invocation), home, std::move(done));
}

Result<int> Node::prewarm(std::string_view function, int count, bool force_pull) {
  Result<FunctionPtr> known = state_->parts.registry.find(function);
  if (!known) return Unexpected(std::move(known).error());
  return state_->invoker.prewarm(*known, count, force_pull);
}

void Node::stop(Duration drain) {
  State& state = *state_;
  state.stopping.store(true);
  const TimePoint until = later(state.parts.clock.now(), drain);
  TimePoint::rep known = state.drain_until.load();
  while (until.time_since_epoch().count() < known &&
         !state.drain_until.compare_exchange_weak(known, until.time_since_epoch().count())) {
  }
  const std::scoped_lock lock(state.stop_mutex);
  if (std::exchange(state.stopped, true)) return;
  state.async.close();
  state.invoker.close();
  // In slices, so that a second call with a shorter time is heeded.
  while (!state.invoker.drain(std::min(TimePoint(Duration(state.drain_until.load())),
                                       later(state.parts.clock.now(), std::chrono::milliseconds(100))))) {
    if (state.parts.clock.now() >= TimePoint(Duration(state.drain_until.load()))) break;
  }
  state.invoker.kill();
  state.async.join();
  state.parts.registry.on_change({});
  state.upkeep.stop();
  if (state.parts.on_upkeep) state.parts.on_upkeep();
}

bool Node::stopping() const { return state_->stopping.load(); }

NodeStatus Node::status() const {
  NodeStatus status;
  status.pool = state_->invoker.view({});
  const auto warm = state_->invoker.warm_containers();  // ordered by name, as the list is
  auto next = warm.begin();
  for (const FunctionPtr& function : state_->parts.registry.list()) {
    while (next != warm.end() && next->first < function->name) ++next;
    const bool known = next != warm.end() && next->first == function->name;
    status.warm_containers.emplace_back(function->name, known ? next->second : 0);
  }
  return status;
}

FunctionRegistry& Node::registry() { return state_->parts.registry; }
ResultStore& Node::results() { return state_->parts.results; }
ContainerRuntime& Node::runtime() { return state_->parts.runtime; }
Invoker& Node::invoker() { return state_->invoker; }
const NodeOptions& Node::options() const { return state_->options; }
Clock& Node::clock() { return state_->parts.clock; }

StatusReport status_report(NodeStatus status) {
  StatusReport report;
  report.warm_containers = std::move(status.warm_containers);
  std::sort(report.warm_containers.begin(), report.warm_containers.end());
  report.total = status.pool.total;
  report.available = status.pool.total - status.pool.busy;
  report.free_memory = status.pool.total.memory_mb - status.pool.held.memory_mb;
  return report;
}

std::string new_request_id(std::string_view function, std::string_view tag) {
  std::string id;
  id.reserve(function.size() + tag.size() + 33);
  id.append(function).append("-").append(tag);
  append_random_digits(id);
  append_random_digits(id);
  return id;
}

}  // namespace serverledge
