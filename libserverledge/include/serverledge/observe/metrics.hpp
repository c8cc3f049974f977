#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serverledge/core/observer.hpp"
#include "serverledge/core/resources.hpp"

namespace serverledge {

struct MetricsOptions {
  std::string node;  ///< key of this node: what reports of it carry
  std::string area;
  /// Functions that have series of their own; the calls of all others are counted as function "_other".
  std::size_t functions_max = 100;
};

/// What a node holds at the moment of a scrape. A value.
struct NodeSample {
  struct Containers {
    std::string function;
    int idle = 0, busy = 0, starting = 0;
  };
  struct Neighbour {
    std::string node;
    bool cloud = false;                  ///< of the area to offload to vertically
    bool avoided = false;                ///< failed lately
    std::optional<Duration> round_trip;  ///< absent: not measured
    std::optional<Duration> age;         ///< of what is known of it; absent: nothing is
  };
  Resources total, busy, held;
  std::size_t queued = 0, queue_capacity = 0;
  int calls = 0;                                   ///< waiting or executed
  std::vector<Containers> containers;              ///< of every function that the node knows
  std::vector<std::pair<std::string, int>> stock;  ///< started instances of no function, by runtime
  bool store_up = true;
  std::vector<Neighbour> neighbours;
  std::uint64_t policy_failures = 0;
  std::size_t connections = 0, http_threads = 0, http_running = 0;
  std::uint64_t spans_written = 0, spans_dropped = 0;
};

/// Counts what happens and renders it for Prometheus; docs/observability.md lists the metrics. The number of
/// series is bounded whatever functions, peers and errors there are. Thread-safe.
class Metrics final : public Observer {
 public:
  explicit Metrics(MetricsOptions options);
  ~Metrics() override;
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// All metrics in the text format 0.0.4, with what the sample holds and the figures of this process.
  std::string text(const NodeSample& sample);
  /// `Content-Type` of `text`.
  static const std::string_view kContentType;

  void passed(const Invocation& invocation, const StagePassed& passed) override;
  void completed(const Invocation& invocation, const ExecutionReport& report) override;
  void rejected(const Invocation& invocation, const Error& error) override;
  void container_started(const Function& function, Duration init_time, std::string_view request) override;
  void container_failed(const Function& function, const Error& error, std::string_view request) override;
  void container_gone(const Function& function, std::string_view reason, std::string_view request) override;
  void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace serverledge
