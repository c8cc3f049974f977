#include "observe/families.hpp"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <iterator>
#include <sstream>

#include "observe/process_figures.hpp"

namespace serverledge {

using prometheus::MetricType;

Families& Families::begin(const char* name, const char* help, MetricType type) {
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  all_.push_back(std::move(family));
  return *this;
}

Families& Families::add(double value, Labels labels) {
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = value;
  metric.counter.value = value;
  all_.back().metric.push_back(std::move(metric));
  return *this;
}

void Families::one(const char* name, const char* help, std::optional<double> value, MetricType type) {
  if (value) begin(name, help, type).add(*value);
}

std::string rendered(std::vector<prometheus::MetricFamily> counted,
                     std::vector<prometheus::MetricFamily> looked_at) {
  std::ranges::move(looked_at, std::back_inserter(counted));
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, counted);
  return std::move(out).str();
}

void add_http(Families& out, std::size_t connections, std::size_t threads, std::size_t running) {
  out.one("serverledge_http_connections", "Open connections to the HTTP API.",
          static_cast<double>(connections));
  out.begin("serverledge_http_threads", "Workers of the HTTP API: all, and those that run a request.")
      .add(static_cast<double>(threads), {{"kind", "all"}})
      .add(static_cast<double>(running), {{"kind", "running"}});
}

void add_process(Families& out) {
  const ProcessFigures figures = process_figures();
  out.one("process_cpu_seconds_total", "Processor time of this process.", figures.cpu_seconds,
          MetricType::Counter);
  out.one("process_resident_memory_bytes", "Resident memory of this process.", figures.resident_bytes);
  out.one("process_virtual_memory_bytes", "Address space of this process.", figures.virtual_bytes);
  out.one("process_threads", "Threads of this process.", figures.threads);
  out.one("process_start_time_seconds", "When this process started, unix time.", figures.start_time);
  out.one("process_open_fds", "Open descriptors of this process.", figures.open_fds);
  out.one("process_max_fds", "Limit of open descriptors.", figures.max_fds);
}

}  // namespace serverledge
