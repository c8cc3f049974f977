#include "serverledge/observe/metrics.hpp"

#include <algorithm>
#include <array>
#include <mutex>
#include <set>
#include <utility>

#include "net/metrics_type.hpp"
#include "observe/families.hpp"
#include "observe/function_series.hpp"
#include "observe/node_gauges.hpp"

namespace serverledge {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;

const Histogram::BucketBoundaries kWaitBuckets{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                               0.25,  0.5,    1,     2.5,  5,     10,   30};

/// The words for statistics that refusals carry.
constexpr std::array<std::string_view, 11> kReasons{"async",         "caller_gone", "closed", "cores",
                                                    "deadline",      "memory",      "policy", "queue_full",
                                                    "queue_timeout", "peer",        "unknown"};

/// One of a bounded set of words, whatever the error is.
std::string reason_of(const Error& error) {
  if (std::ranges::find(kReasons, error.detail) != kReasons.end()) return error.detail;
  std::string name = to_string(error.code);
  std::ranges::replace(name, ' ', '_');
  return name;
}

const char* offload_outcome(const StagePassed& passed) {
  if (passed.error == nullptr) return passed.failure == nullptr ? "succeeded" : "failed";
  switch (passed.error->code) {
    case ErrorCode::kNoResources:
    case ErrorCode::kNotFound:
      return "refused";
    case ErrorCode::kUnavailable:
      return "unreachable";
    default:
      return "unknown";
  }
}

const char* level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "info";
}

}  // namespace

struct Metrics::State {
  explicit State(MetricsOptions chosen)
      : options(std::move(chosen)), functions(registry, options.area, options.functions_max) {}

  Family<Counter>& counter(const char* name, const char* help) {
    return BuildCounter().Name(name).Help(help).Register(registry);
  }
  Family<Histogram>& histogram(const char* name, const char* help) {
    return BuildHistogram().Name(name).Help(help).Register(registry);
  }
  /// The label of a peer: its key, as long as there are not too many.
  std::string target(const std::string& peer) {
    const std::scoped_lock lock(mutex);
    if (targets.contains(peer)) return peer;
    if (targets.size() >= kTargetsMax) return "_other";
    targets.insert(peer);
    return peer;
  }

  static constexpr std::size_t kTargetsMax = 50;

  const MetricsOptions options;
  prometheus::Registry registry;
  FunctionSeries functions;
  Family<Counter>& drops = counter("serverledge_drops_total", "Calls that were refused, by reason.");
  Family<Counter>& offloads =
      counter("serverledge_offloads_total", "Calls handed to another node, by node and outcome.");
  Family<Histogram>& offload_times =
      histogram("serverledge_offload_time_seconds", "Round trip of a call handed to another node.");
  Family<Histogram>& waits =
      histogram("serverledge_queue_wait_seconds", "Wait in the queue, by whether a place was found.");
  Family<Counter>& starts =
      counter("serverledge_container_starts_total", "Starts of containers, also ahead of calls.");
  Family<Counter>& ends = counter("serverledge_container_ends_total", "Containers that ended, by reason.");
  Family<Counter>& log_events =
      counter("serverledge_log_events_total", "Events other than calls that were told to the log, by level.");
  Histogram& placed = waits.Add({{"outcome", "placed"}}, kWaitBuckets);
  Histogram& gave_up = waits.Add({{"outcome", "gave_up"}}, kWaitBuckets);
  Counter& started = starts.Add({{"outcome", "started"}});
  Counter& start_failed = starts.Add({{"outcome", "failed"}});

  std::mutex mutex;  // guards what follows
  std::set<std::string> targets;
};

constinit const std::string_view Metrics::kContentType = kMetricsType;

Metrics::Metrics(MetricsOptions options) : state_(std::make_unique<State>(std::move(options))) {}

Metrics::~Metrics() = default;

void Metrics::passed(const Invocation& /*invocation*/, const StagePassed& passed) {
  State& state = *state_;
  if (passed.stage == Stage::kWait) {
    (passed.error == nullptr ? state.placed : state.gave_up).Observe(seconds(passed.end - passed.begin));
  } else if (passed.stage == Stage::kOffload && passed.peer != nullptr) {
    const char* outcome = offload_outcome(passed);
    state.offloads.Add({{"target", state.target(passed.peer->key)}, {"outcome", outcome}}).Increment();
    state.offload_times.Add({{"outcome", outcome}}, kWaitBuckets).Observe(seconds(passed.end - passed.begin));
  }
}

void Metrics::completed(const Invocation& invocation, const ExecutionReport& report) {
  state_->functions.executed(invocation.function->name, report, report.node == state_->options.node);
}

void Metrics::rejected(const Invocation& invocation, const Error& error) {
  state_->drops.Add({{"reason", reason_of(error)}}).Increment();
  state_->functions.refused(invocation.function->name);
}

void Metrics::container_started(const Function& /*function*/, Duration /*init_time*/,
                                std::string_view /*request*/) {
  state_->started.Increment();
}

void Metrics::container_failed(const Function& /*function*/, const Error& /*error*/,
                               std::string_view /*request*/) {
  state_->start_failed.Increment();
}

void Metrics::container_gone(const Function& /*function*/, std::string_view reason,
                             std::string_view /*request*/) {
  state_->ends.Add({{"reason", std::string(reason)}}).Increment();
}

void Metrics::log(LogLevel level, std::string_view /*event*/, std::initializer_list<LogField> /*fields*/) {
  state_->log_events.Add({{"level", level_name(level)}}).Increment();
}

std::string Metrics::text(const NodeSample& sample) {
  std::set<std::string, std::less<>> known;
  for (const NodeSample::Containers& containers : sample.containers) known.insert(containers.function);
  state_->functions.make_room(known);
  return rendered(state_->registry.Collect(),
                  node_gauges(sample, [this](std::string_view name) { return state_->functions.has(name); }));
}

}  // namespace serverledge
