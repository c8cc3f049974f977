#include "serverledge/observe/balancer_metrics.hpp"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <utility>

#include "observe/families.hpp"

namespace serverledge {
namespace {

/// Targets that have series of their own.
constexpr std::size_t kSeriesOfTargets = 50;

const prometheus::Histogram::BucketBoundaries kRequestBuckets{
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};

void add_targets(Families& out, const BalancerSample& sample) {
  double up = 0;
  for (const BalancerSample::Target& target : sample.targets) up += target.up ? 1 : 0;
  out.begin("serverledge_lb_targets",
            "Nodes of the area: all that are known, and those that are not left out.")
      .add(static_cast<double>(sample.targets.size()), {{"kind", "known"}})
      .add(up, {{"kind", "up"}});
  if (sample.targets.empty()) return;
  const std::size_t own = std::min(sample.targets.size(), kSeriesOfTargets);
  out.begin("serverledge_lb_target_up", "0 if the node is left out.");
  for (std::size_t i = 0; i < own; ++i)
    out.add(sample.targets[i].up ? 1 : 0, {{"target", sample.targets[i].node}});
  out.begin("serverledge_lb_target_calls", "Requests that the node has from this balancer now.");
  for (std::size_t i = 0; i < own; ++i)
    out.add(static_cast<double>(sample.targets[i].calls), {{"target", sample.targets[i].node}});
  if (own == sample.targets.size()) return;
  double others = 0;
  for (std::size_t i = own; i < sample.targets.size(); ++i)
    others += static_cast<double>(sample.targets[i].calls);
  out.add(others, {{"target", "_other"}});
}

}  // namespace

struct BalancerMetrics::State {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests =
      prometheus::BuildCounter()
          .Name("serverledge_lb_requests_total")
          .Help("Requests that were answered, by route, outcome, and status class.")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& retries =
      prometheus::BuildCounter()
          .Name("serverledge_lb_retries_total")
          .Help("Requests that were sent to a further node, by why.")
          .Register(registry);
  prometheus::Family<prometheus::Histogram>& times = prometheus::BuildHistogram()
                                                         .Name("serverledge_lb_request_time_seconds")
                                                         .Help("From the whole request to its answer.")
                                                         .Register(registry);
};

BalancerMetrics::BalancerMetrics() : state_(std::make_unique<State>()) {}
BalancerMetrics::~BalancerMetrics() = default;

void BalancerMetrics::answered(std::string_view route, std::string_view outcome, int status, Duration took) {
  // Nodes are not trusted to answer with statuses that there are.
  const std::string statuses = status >= 100 && status < 600 ? fmt::format("{}xx", status / 100) : "other";
  const std::string way(route);
  state_->requests.Add({{"route", way}, {"outcome", std::string(outcome)}, {"status", statuses}}).Increment();
  state_->times.Add({{"route", way}}, kRequestBuckets).Observe(seconds(took));
}

void BalancerMetrics::retried(std::string_view reason) {
  state_->retries.Add({{"reason", std::string(reason)}}).Increment();
}

std::string BalancerMetrics::text(const BalancerSample& sample) {
  Families looked_at;
  add_targets(looked_at, sample);
  looked_at.one("serverledge_store_up", "Whether etcd answers.", sample.store_up ? 1 : 0);
  add_http(looked_at, sample.connections, sample.http_threads, sample.http_running);
  add_process(looked_at);
  return rendered(state_->registry.Collect(), looked_at.take());
}

}  // namespace serverledge
