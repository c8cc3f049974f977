#include "assembly/observers.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "serverledge/observe/combined_observer.hpp"
#include "serverledge/observe/log_observer.hpp"

namespace serverledge {
namespace {

LogOptions log_options(const Configuration& configuration) {
  LogOptions options;
  options.level = log_level(configuration.text("log.level")).value_or(options.level);
  options.format = configuration.text("log.format") == "json" ? LogFormat::kJson : LogFormat::kText;
  return options;
}

/// How a node of a cluster is written.
std::string full_name(const Configuration& configuration, const std::string& node_key) {
  return fmt::format("({}){}", configuration.text("registry.area"), node_key);
}

TraceOptions trace_options(const Configuration& configuration, const std::string& node_key,
                           const Clock& clock) {
  TraceOptions options;
  options.file = configuration.text("tracing.outfile");
  if (options.file.empty()) {
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(clock.wall().time_since_epoch());
    options.file = fmt::format("traces-{}.json", now.count());
  }
  options.file_max = configuration.bytes("tracing.file.max");
  options.node = full_name(configuration, node_key);
  return options;
}

void add_neighbours(const std::vector<PeerView>& peers, bool cloud, TimePoint now, NodeSample& sample) {
  for (const PeerView& peer : peers) {
    NodeSample::Neighbour neighbour;
    neighbour.node = peer.peer.key;
    neighbour.cloud = cloud;
    neighbour.avoided = peer.avoided(now);
    if (peer.round_trip > Duration::zero()) neighbour.round_trip = peer.round_trip;
    if (peer.known()) neighbour.age = now - peer.heard;
    sample.neighbours.push_back(std::move(neighbour));
  }
}

}  // namespace

std::shared_ptr<Observer> log_observer(const Configuration& configuration, Clock& clock) {
  return make_log_observer(log_options(configuration), clock);
}

Result<Observers> make_observers(const Configuration& configuration, std::shared_ptr<Observer> given,
                                 const std::string& node_key, Clock& clock) {
  Observers observers;
  std::vector<std::shared_ptr<Observer>> all{given ? std::move(given) : log_observer(configuration, clock)};
  if (configuration.boolean("metrics.enabled")) {
    MetricsOptions options;
    options.node = node_key;
    options.area = configuration.text("registry.area");
    options.functions_max = static_cast<std::size_t>(configuration.integer("metrics.functions.max"));
    observers.metrics = std::make_shared<Metrics>(std::move(options));
    all.push_back(observers.metrics);
  }
  if (configuration.boolean("tracing.enabled")) {
    Result<std::shared_ptr<Tracer>> tracer =
        open_tracer(trace_options(configuration, node_key, clock), all.front(), clock);
    if (!tracer) {
      tracer.error().message.insert(0, "tracing.outfile: ");
      return Unexpected(std::move(tracer).error());
    }
    observers.tracer = std::move(*tracer);
    all.push_back(observers.tracer);
  }
  observers.all = combine(std::move(all));
  return observers;
}

NodeSample sample_of(const WatchedParts& parts) {
  NodeSample sample;
  Invoker& invoker = parts.node.invoker();
  const PoolView pool = invoker.view({});
  sample.total = pool.total;
  sample.busy = pool.busy;
  sample.held = pool.held;
  sample.queued = pool.queued;
  sample.queue_capacity = pool.queue_capacity;
  sample.calls = invoker.calls();
  for (const FunctionPtr& function : parts.node.registry().list()) {
    const PoolView view = invoker.view(function->name);
    sample.containers.push_back({function->name, view.warm, view.busy_containers, view.starting});
  }
  const ContainerRuntime& runtime = parts.node.runtime();
  for (const StockPlan& plan : runtime.stock_plans()) {
    sample.stock.emplace_back(plan.runtime, runtime.stock(plan.runtime));
  }
  sample.store_up = parts.store.healthy();
  sample.policy_failures = invoker.policy_failures();
  const HttpServerLoad load = parts.server.load();
  sample.connections = load.connections;
  sample.http_threads = load.threads;
  sample.http_running = load.running;
  if (parts.tracer != nullptr) {
    const Tracer::Spans spans = parts.tracer->spans();
    sample.spans_written = spans.written;
    sample.spans_dropped = spans.dropped;
  }
  if (parts.peers != nullptr) {
    const auto peers = parts.peers->peers();
    const TimePoint now = parts.node.clock().now();
    add_neighbours(peers->neighbours, false, now, sample);
    add_neighbours(peers->cloud, true, now, sample);
  }
  return sample;
}

std::unique_ptr<PushgatewayPusher> make_pusher(const Configuration& configuration,
                                               const std::string& node_key, std::function<std::string()> text,
                                               Observer& observer, Clock& clock) {
  const std::string host = configuration.text("metrics.prometheus.pushgateway.host");
  if (host.empty()) return nullptr;
  PushgatewayOptions options;
  options.gateway =
      HttpTarget::tcp(host, static_cast<int>(configuration.integer("metrics.prometheus.pushgateway.port")));
  options.node = full_name(configuration, node_key);
  options.interval = configuration.duration("metrics.prometheus.pushgateway.interval");
  return std::make_unique<PushgatewayPusher>(std::move(options), std::move(text), observer, clock);
}

}  // namespace serverledge
