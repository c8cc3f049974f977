#pragma once

#include <prometheus/metric_family.h>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace serverledge {

/// Families of metrics that are not counted but looked at when asked, built one after the other.
class Families {
 public:
  using Labels = std::vector<prometheus::ClientMetric::Label>;

  Families& begin(const char* name, const char* help,
                  prometheus::MetricType type = prometheus::MetricType::Gauge);
  Families& add(double value, Labels labels = {});
  /// A family of one value, left out if that is absent.
  void one(const char* name, const char* help, std::optional<double> value,
           prometheus::MetricType type = prometheus::MetricType::Gauge);
  std::vector<prometheus::MetricFamily> take() { return std::move(all_); }

 private:
  std::vector<prometheus::MetricFamily> all_;
};

/// All of them in the text format of Prometheus: what was counted, and what was looked at.
std::string rendered(std::vector<prometheus::MetricFamily> counted,
                     std::vector<prometheus::MetricFamily> looked_at);

/// Of the HTTP server: open connections, its threads, and those that run a request.
void add_http(Families& out, std::size_t connections, std::size_t threads, std::size_t running);
/// Of this process.
void add_process(Families& out);

}  // namespace serverledge
