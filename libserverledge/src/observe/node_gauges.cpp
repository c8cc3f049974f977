#include "observe/node_gauges.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "observe/families.hpp"
#include "observe/function_series.hpp"

namespace serverledge {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

/// Peers that have series of their own; there are few of them by design (nearest neighbours, a cloud node).
constexpr std::size_t kPeersMax = 50;

constexpr double kMegabyte = 1 << 20;

void add_resources(Families& out, const NodeSample& sample) {
  const std::pair<const char*, Resources> kinds[] = {
      {"total", sample.total}, {"held", sample.held}, {"busy", sample.busy}};
  out.begin("serverledge_memory_bytes",
            "Memory for containers: total, held by any container, held by containers with calls.");
  for (const auto& [kind, amount] : kinds) {
    out.add(static_cast<double>(amount.memory_mb) * kMegabyte, {{"kind", kind}});
  }
  out.begin("serverledge_cores",
            "Cores for containers: total, held by any container, held by containers with calls.");
  for (const auto& [kind, amount] : kinds) out.add(amount.cores(), {{"kind", kind}});
}

void add_containers(Families& out, const NodeSample& sample,
                    const std::function<bool(std::string_view)>& has_series) {
  std::map<std::string, NodeSample::Containers> rows;
  for (const NodeSample::Containers& containers : sample.containers) {
    const bool own = has_series(containers.function);
    if (!own && containers.idle + containers.busy + containers.starting == 0) continue;
    NodeSample::Containers& row = rows[own ? containers.function : kOtherFunctions];
    row.idle += containers.idle;
    row.busy += containers.busy;
    row.starting += containers.starting;
  }
  if (!rows.empty()) out.begin("serverledge_containers", "Containers by function and state.");
  for (const auto& [function, row] : rows) {
    out.add(row.idle, {{"function", function}, {"state", "idle"}});
    out.add(row.busy, {{"function", function}, {"state", "busy"}});
    out.add(row.starting, {{"function", function}, {"state", "starting"}});
  }
  if (!sample.stock.empty()) {
    out.begin("serverledge_stock", "Started instances that are kept for the next cold starts.");
  }
  for (const auto& [runtime, count] : sample.stock) out.add(count, {{"runtime", runtime}});
}

std::optional<double> in_seconds(std::optional<Duration> duration) {
  return duration ? std::optional(seconds(*duration)) : std::nullopt;
}

void add_neighbours(Families& out, const NodeSample& sample) {
  if (sample.neighbours.empty()) return;
  const std::size_t count = std::min(sample.neighbours.size(), kPeersMax);
  const auto each = [&](const char* name, const char* help, const auto& value) {
    out.begin(name, help);
    for (std::size_t index = 0; index < count; ++index) {
      const NodeSample::Neighbour& peer = sample.neighbours[index];
      if (const std::optional<double> known = value(peer)) {
        out.add(*known, {{"target", peer.node}, {"kind", peer.cloud ? "cloud" : "neighbour"}});
      }
    }
  };
  using Peer = NodeSample::Neighbour;
  each("serverledge_peer_usable", "0 if a call to the node has failed lately.",
       [](const Peer& peer) -> std::optional<double> { return peer.avoided ? 0 : 1; });
  each("serverledge_peer_round_trip_seconds", "Round trip to the node, as measured last.",
       [](const Peer& peer) { return in_seconds(peer.round_trip); });
  each("serverledge_peer_news_age_seconds", "Since the node was last heard of.",
       [](const Peer& peer) { return in_seconds(peer.age); });
}

void add_work(Families& out, const NodeSample& sample) {
  out.one("serverledge_queue_length", "Calls that wait for resources or for a starting container.",
          static_cast<double>(sample.queued));
  out.one("serverledge_queue_capacity", "Synchronous calls that may wait for resources.",
          static_cast<double>(sample.queue_capacity));
  out.one("serverledge_calls", "Calls that wait or run now.", sample.calls);
  out.one("serverledge_policy_failures_total", "Decisions in which the offloading policy raised.",
          static_cast<double>(sample.policy_failures), MetricType::Counter);
  out.one("serverledge_store_up", "Whether the store of functions and results answers.",
          sample.store_up ? 1 : 0);
  add_http(out, sample.connections, sample.http_threads, sample.http_running);
  out.begin("serverledge_trace_spans_total", "Spans of the trace, by what became of them.",
            MetricType::Counter)
      .add(static_cast<double>(sample.spans_written), {{"outcome", "written"}})
      .add(static_cast<double>(sample.spans_dropped), {{"outcome", "dropped"}});
}

}  // namespace

std::vector<MetricFamily> node_gauges(const NodeSample& sample,
                                      const std::function<bool(std::string_view)>& has_series) {
  Families out;
  add_resources(out, sample);
  add_containers(out, sample, has_series);
  add_neighbours(out, sample);
  add_work(out, sample);
  add_process(out);
  return out.take();
}

}  // namespace serverledge
