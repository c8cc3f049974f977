#include "node/function_estimates.hpp"

#include <algorithm>

namespace serverledge {
namespace {

constexpr double kWeight = 0.1;  // of the newest sample

void blend(double& average, double sample, bool first) {
  average = first ? sample : average + kWeight * (sample - average);
}

void blend(Duration& average, Duration sample, bool first) {
  average = first ? sample
                  : average + Duration(static_cast<Duration::rep>(
                                  kWeight * static_cast<double>((sample - average).count())));
}

}  // namespace

FunctionEstimates::Entry& FunctionEstimates::entry(std::string_view function) {
  const auto it = entries_.find(function);
  return it != entries_.end() ? it->second : entries_[std::string(function)];
}

void FunctionEstimates::arrived(std::string_view function, std::size_t input_bytes, TimePoint now) {
  Entry& known = entry(function);
  if (known.arrived_before) {
    // Gaps, not rates, are averaged: two calls at the same instant would be an infinite rate.
    blend(known.mean_gap, std::max(seconds(now - known.last_arrival), 0.0), known.mean_gap == 0);
    known.estimate.arrival_rate = known.mean_gap > 0 ? 1.0 / known.mean_gap : 0;
  }
  blend(known.estimate.input_bytes, static_cast<double>(input_bytes), !known.arrived_before);
  known.last_arrival = now;
  known.arrived_before = true;
}

void FunctionEstimates::started(std::string_view function, Duration init_time) {
  Entry& known = entry(function);
  blend(known.estimate.init_time, init_time, !known.started_before);
  known.started_before = true;
}

void FunctionEstimates::completed(std::string_view function, Duration duration, bool cold,
                                  std::size_t output_bytes) {
  FunctionEstimate& estimate = entry(function).estimate;
  const bool first = estimate.completions == 0;
  blend(estimate.duration, duration, first);
  blend(estimate.cold_probability, cold ? 1.0 : 0.0, first);
  blend(estimate.output_bytes, static_cast<double>(output_bytes), first);
  ++estimate.completions;
}

void FunctionEstimates::forget(std::string_view function) {
  if (const auto it = entries_.find(function); it != entries_.end()) entries_.erase(it);
}

FunctionEstimate FunctionEstimates::of(std::string_view function) const {
  const auto it = entries_.find(function);
  return it == entries_.end() ? FunctionEstimate{} : it->second.estimate;
}

}  // namespace serverledge
