#include "report.hpp"

#include <fmt/format.h>

#include "serverledge/core/json.hpp"

namespace serverledge::bench {
namespace {

constexpr double kNanosecond = 1e-9;
constexpr double kMilliseconds = kNanosecond * 1000;  // nanoseconds in

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

double mean(const TargetOutcome& target) {
  return target.successes == 0 ? 0 : target.total / static_cast<double>(target.successes);
}

std::int64_t integer(std::uint64_t value) { return static_cast<std::int64_t>(value); }

void write_latency(JsonWriter& writer, const char* key, const Histogram& latency) {
  writer.key(key).begin_object();
  writer.key("Mean").number(latency.mean() * kNanosecond);
  writer.key("Min").number(static_cast<double>(latency.minimum()) * kNanosecond);
  for (const auto& quantile : kQuantiles) {
    writer.key(quantile.name).number(static_cast<double>(latency.value_at(quantile.share)) * kNanosecond);
  }
  writer.key("Max").number(static_cast<double>(latency.maximum()) * kNanosecond).end_object();
}

void write_targets(JsonWriter& writer, const Load& load, const Outcome& outcome) {
  writer.key("Functions").begin_object();
  for (std::size_t i = 0; i < outcome.targets.size(); ++i) {
    const auto& target = outcome.targets[i];
    writer.key(load.targets[i].name).begin_object();
    writer.key("Successes").integer(integer(target.successes));
    writer.key("Failures").integer(integer(target.failures));
    writer.key("Warm").integer(integer(target.warm));
    writer.key("Cold").integer(integer(target.cold));
    writer.key("Mean").number(mean(target) * kNanosecond);
    writer.key("Max").number(static_cast<double>(target.worst) * kNanosecond).end_object();
  }
  writer.end_object();
}

void write_open_loop(JsonWriter& writer, const Load& load, const Outcome& outcome) {
  writer.key("Rate").number(load.rate);
  writer.key("Arrivals").string(load.spacing == Spacing::kPoisson ? "poisson" : "constant");
  writer.key("Opened").integer(integer(outcome.opened));
  writer.key("Waited").integer(integer(outcome.waited));
  write_latency(writer, "SendLag", outcome.lag);
}

std::string text_of(const char* name, const Histogram& latency) {
  std::string text = fmt::format("{}, ms: mean {:.3f}", name, latency.mean() * kMilliseconds);
  for (const auto& quantile : kQuantiles) {
    const auto value = static_cast<double>(latency.value_at(quantile.share));
    text += fmt::format(", {} {:.3f}", quantile.label, value * kMilliseconds);
  }
  return text + fmt::format(", max {:.3f}\n", static_cast<double>(latency.maximum()) * kMilliseconds);
}

std::string text_of_open_loop(const Load& load, const Outcome& outcome) {
  std::string text = fmt::format(
      "sent late by, ms: p50 {:.3f}, p99 {:.3f}, max {:.3f}; connections: {} of at most {}\n",
      static_cast<double>(outcome.lag.value_at(0.5)) * kMilliseconds,
      static_cast<double>(outcome.lag.value_at(0.99)) * kMilliseconds,
      static_cast<double>(outcome.lag.maximum()) * kMilliseconds, outcome.opened, load.connections);
  if (outcome.waited > 0) {
    text += fmt::format("{} calls were due while every connection was busy, and waited for one\n",
                        outcome.waited);
  }
  return text;
}

std::string text_of_starts(const Load& load, const Outcome& outcome) {
  const std::uint64_t known = outcome.warm + outcome.cold;
  if (known == 0) return {};
  const double share = 100.0 / static_cast<double>(known);
  std::string text = fmt::format("warm {} ({:.2f} %), cold {} ({:.2f} %)\n", outcome.warm,
                                 static_cast<double>(outcome.warm) * share, outcome.cold,
                                 static_cast<double>(outcome.cold) * share);
  if (outcome.cold > 0 && outcome.warm > 0) text += text_of("latency of the cold ones", outcome.cold_latency);
  if (load.cold && outcome.warm > 0)
    text += "some calls were no cold starts: the node keeps containers by code\n";
  return text;
}

}  // namespace

std::string to_json(const Options& options, const Outcome& outcome) {
  const Load& load = options.load;
  std::string json;
  JsonWriter writer(json);
  writer.begin_object();
  writer.key("Connections").integer(load.connections);
  writer.key("Seconds").number(seconds(outcome.elapsed));
  writer.key("Successes").integer(integer(outcome.successes()));
  writer.key("Failures").integer(integer(outcome.failures()));
  writer.key("Throughput").number(throughput(outcome));
  write_latency(writer, "Latency", outcome.latency);
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
  writer.key("Loop").string(load.open() ? "open" : "closed");
  if (load.open()) write_open_loop(writer, load, outcome);
  writer.key("Seed").integer(integer(load.seed));
  if (options.functions) write_targets(writer, load, outcome);
  if (outcome.cold > 0) write_latency(writer, "ColdLatency", outcome.cold_latency);
  if (load.cold) writer.key("LeftBehind").integer(integer(outcome.left_behind));
  writer.key("Interrupted").boolean(load.stopped());
  writer.key("Abandoned").integer(integer(outcome.abandoned));
  writer.end_object();
  return json;
}

std::string to_text(const Options& options, const Outcome& outcome) {
  const Load& load = options.load;
  std::string text = options.description + "\n";
  if (options.seeded) text += fmt::format("seed {}\n", load.seed);
  if (load.stopped())
    text += fmt::format("stopped early; {} calls under way were given up\n", outcome.abandoned);
  text += fmt::format("{:.2f} s: {} successes ({:.1f}/s), {} failures\n", seconds(outcome.elapsed),
                      outcome.successes(), throughput(outcome), outcome.failures());
  text += text_of("latency", outcome.latency);
  if (load.open()) text += text_of_open_loop(load, outcome);
  for (const auto& [status, count] : outcome.statuses) text += fmt::format("status {}: {}\n", status, count);
  for (const auto& [error, count] : outcome.errors)
    text += fmt::format("without an answer ({}): {}\n", error, count);
  text += text_of_starts(load, outcome);
  if (load.targets.size() > 1) {
    for (std::size_t i = 0; i < outcome.targets.size(); ++i) {
      const auto& target = outcome.targets[i];
      text += fmt::format("{}: {} successes, {} failures, {} cold, ms: mean {:.3f}, max {:.3f}\n",
                          load.targets[i].name, target.successes, target.failures, target.cold,
                          mean(target) * kMilliseconds, static_cast<double>(target.worst) * kMilliseconds);
    }
  }
  if (outcome.left_behind > 0) {
    text += fmt::format("{} functions named {}-... could not be removed from the node\n", outcome.left_behind,
                        load.cold->prefix);
  }
  return text;
}

std::string to_line(const Progress& progress) {
  return fmt::format("{:6.1f} s{}: {} ended, {:.1f}/s, mean {:.3f} ms, {} failed, {} under way",
                     seconds(progress.elapsed), progress.warming_up ? " (warm-up)" : "", progress.total_ended,
                     progress.per_second, progress.mean_latency * 1000, progress.failed, progress.under_way);
}

}  // namespace serverledge::bench
