#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/clock.hpp"

namespace serverledge {

/// What a load balancer holds at the moment of a scrape. A value.
struct BalancerSample {
  struct Target {
    std::string node;
    bool up = false;        ///< not left out
    std::size_t calls = 0;  ///< requests that it has from this balancer
  };
  std::vector<Target> targets;  ///< all that are known, in an order that stays
  bool store_up = true;
  std::size_t connections = 0, http_threads = 0, http_running = 0;
};

/// Counts what a load balancer does and renders it for Prometheus; docs/load-balancer.md lists the metrics.
/// The number of series is bounded however many targets there are. Thread-safe.
class BalancerMetrics {
 public:
  BalancerMetrics();
  ~BalancerMetrics();
  BalancerMetrics(const BalancerMetrics&) = delete;
  BalancerMetrics& operator=(const BalancerMetrics&) = delete;

  /// A request was answered. `route` and `outcome` are words from fixed lists; `status` is that of the
  /// answer.
  void answered(std::string_view route, std::string_view outcome, int status, Duration took);
  /// A request goes to a further node; why is a word from a fixed list.
  void retried(std::string_view reason);

  /// All metrics in the text format 0.0.4 (`Metrics::kContentType`), with what the sample holds and the
  /// figures of this process.
  std::string text(const BalancerSample& sample);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace serverledge
