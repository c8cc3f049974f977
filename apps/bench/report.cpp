#include "report.hpp"

#include <fmt/format.h>

#include "serverledge/core/json.hpp"

namespace serverledge::bench {
namespace {

constexpr double kNanosecond = 1e-9;

struct Quantile {
  const char* name;
  const char* label;
  double share;
};
constexpr Quantile kQuantiles[] = {
    {"P50", "p50", 0.5}, {"P90", "p90", 0.9}, {"P99", "p99", 0.99}, {"P999", "p99.9", 0.999}};

double throughput(const Outcome& outcome) {
  const double elapsed = seconds(outcome.elapsed);
  return elapsed > 0 ? static_cast<double>(outcome.successes()) / elapsed : 0;
}

std::int64_t integer(std::uint64_t value) { return static_cast<std::int64_t>(value); }

void write_latency(JsonWriter& writer, const Histogram& latency) {
  writer.key("Latency").begin_object();
  writer.key("Mean").number(latency.mean() * kNanosecond);
  writer.key("Min").number(static_cast<double>(latency.minimum()) * kNanosecond);
  for (const auto& quantile : kQuantiles) {
    writer.key(quantile.name).number(static_cast<double>(latency.value_at(quantile.share)) * kNanosecond);
  }
  writer.key("Max").number(static_cast<double>(latency.maximum()) * kNanosecond).end_object();
}

}  // namespace

std::string to_json(const Load& load, const Outcome& outcome) {
  std::string json;
  JsonWriter writer(json);
  writer.begin_object();
  writer.key("Connections").integer(load.connections);
  writer.key("Seconds").number(seconds(outcome.elapsed));
  writer.key("Successes").integer(integer(outcome.successes()));
  writer.key("Failures").integer(integer(outcome.failures()));
  writer.key("Throughput").number(throughput(outcome));
  write_latency(writer, outcome.latency);
  writer.key("Statuses").begin_object();
  for (const auto& [status, count] : outcome.statuses)
    writer.key(std::to_string(status)).integer(integer(count));
  writer.end_object();
  writer.key("Errors").begin_object();
  for (const auto& [error, count] : outcome.errors) writer.key(error).integer(integer(count));
  writer.end_object();
  writer.key("Warm").integer(integer(outcome.warm));
  writer.key("Cold").integer(integer(outcome.cold));
  writer.key("Bytes").integer(integer(outcome.bytes));
  writer.end_object();
  return json;
}

std::string to_text(const Load& load, const Outcome& outcome) {
  const double milliseconds = kNanosecond * 1000;
  std::string text =
      fmt::format("{} connections, {:.2f} s: {} successes ({:.1f}/s), {} failures\n", load.connections,
                  seconds(outcome.elapsed), outcome.successes(), throughput(outcome), outcome.failures());
  text += fmt::format("latency, ms: mean {:.3f}", outcome.latency.mean() * milliseconds);
  for (const auto& quantile : kQuantiles) {
    const auto value = static_cast<double>(outcome.latency.value_at(quantile.share));
    text += fmt::format(", {} {:.3f}", quantile.label, value * milliseconds);
  }
  text += fmt::format(", max {:.3f}\n", static_cast<double>(outcome.latency.maximum()) * milliseconds);
  for (const auto& [status, count] : outcome.statuses) text += fmt::format("status {}: {}\n", status, count);
  for (const auto& [error, count] : outcome.errors)
    text += fmt::format("without an answer ({}): {}\n", error, count);
  if (outcome.warm + outcome.cold > 0) text += fmt::format("warm {}, cold {}\n", outcome.warm, outcome.cold);
  return text;
}

}  // namespace serverledge::bench
