#include "observe/function_series.hpp"

#include <mutex>
#include <utility>

namespace serverledge {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildHistogram;
using Buckets = prometheus::Histogram::BucketBoundaries;

/// The contract's (10 ms times powers of two, up to 164 s), and finer ones below.
const Buckets kExecutionBuckets{0.001, 0.002, 0.005, 0.01, 0.02,  0.04,  0.08,  0.16,  0.32,
                                0.64,  1.28,  2.56,  5.12, 10.24, 20.48, 40.96, 81.92, 163.84};
const Buckets kInitBuckets{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};
const Buckets kOutputBuckets{64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304};
const Buckets kResponseBuckets{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                               0.25,   0.5,   1,      2.5,   5,    10,    30,   60};

constexpr FailureKind kFailureKinds[] = {FailureKind::kRaised,  FailureKind::kTimeout,  FailureKind::kMemory,
                                         FailureKind::kCrashed, FailureKind::kProtocol, FailureKind::kStart,
                                         FailureKind::kOutput};

}  // namespace

FunctionSeries::FunctionSeries(prometheus::Registry& registry, std::string area, std::size_t functions_max)
    : area_(std::move(area)),
      functions_max_(functions_max),
      completed_(BuildCounter()
                     .Name("completed_count")
                     .Help("Calls that this node ran and that succeeded.")
                     .Register(registry)),
      cold_starts_(BuildCounter()
                       .Name("cold_starts_count")
                       .Help("Calls that this node ran and that needed a container to be started.")
                       .Register(registry)),
      execution_(BuildHistogram()
                     .Name("execution_time")
                     .Help("Seconds inside the function, of the calls of completed_count.")
                     .Register(registry)),
      init_(BuildHistogram()
                .Name("init_time")
                .Help("Seconds that starting a container took, of the calls of cold_starts_count.")
                .Register(registry)),
      output_(BuildHistogram()
                  .Name("output_size")
                  .Help("Bytes of the result, of the calls of completed_count.")
                  .Register(registry)),
      invocations_(BuildCounter()
                       .Name("serverledge_invocations_total")
                       .Help("Calls that ended, wherever they ran: succeeded, failed or refused.")
                       .Register(registry)),
      failures_(BuildCounter()
                    .Name("serverledge_failures_total")
                    .Help("Calls that failed, by the kind that their caller was told.")
                    .Register(registry)),
      response_(BuildHistogram()
                    .Name("serverledge_response_time_seconds")
                    .Help("Arrival to answer, of the calls that were executed, here or elsewhere.")
                    .Register(registry)),
      other_(make_row(kOtherFunctions)) {}

FunctionSeries::Row FunctionSeries::make_row(const std::string& name) {
  return {.completed = &completed_.Add({{"area", area_}, {"function", name}}),
          .succeeded = &invocations_.Add({{"function", name}, {"outcome", "succeeded"}}),
          .execution = &execution_.Add({{"function", name}}, kExecutionBuckets),
          .output = &output_.Add({{"function", name}}, kOutputBuckets),
          .response_warm = &response(name, true)};
}

prometheus::Histogram& FunctionSeries::response(const std::string& name, bool warm) {
  return response_.Add({{"function", name}, {"start", warm ? "warm" : "cold"}}, kResponseBuckets);
}

template <typename Count>
void FunctionSeries::with_row(const std::string& function, const Count& count) {
  {
    const std::shared_lock lock(mutex_);
    const auto row = rows_.find(function);
    if (row != rows_.end()) return count(row->first, row->second);
    if (rows_.size() >= functions_max_) return count(std::string(kOtherFunctions), other_);
  }
  {
    const std::unique_lock lock(mutex_);
    if (rows_.size() < functions_max_ && !rows_.contains(function))
      rows_.emplace(function, make_row(function));
  }
  const std::shared_lock lock(mutex_);
  const auto row = rows_.find(function);
  if (row != rows_.end()) return count(row->first, row->second);
  count(std::string(kOtherFunctions), other_);
}

void FunctionSeries::executed(const std::string& function, const ExecutionReport& report, bool local) {
  with_row(function, [&](const std::string& name, const Row& row) {
    const bool cold = local && !report.warm;
    if (cold) {
      cold_starts_.Add({{"area", area_}, {"function", name}}).Increment();
      init_.Add({{"function", name}}, kInitBuckets).Observe(seconds(report.init_time));
    }
    (report.warm ? *row.response_warm : response(name, false)).Observe(seconds(report.response_time));
    if (report.failure) {
      invocations_.Add({{"function", name}, {"outcome", "failed"}}).Increment();
      failures_.Add({{"function", name}, {"kind", to_string(report.failure->kind)}}).Increment();
      return;
    }
    row.succeeded->Increment();
    if (!local) return;
    row.completed->Increment();
    row.execution->Observe(seconds(report.duration));
    row.output->Observe(static_cast<double>(report.result.size()));
  });
}

void FunctionSeries::refused(const std::string& function) {
  with_row(function, [&](const std::string& name, const Row& /*row*/) {
    invocations_.Add({{"function", name}, {"outcome", "refused"}}).Increment();
  });
}

bool FunctionSeries::has(std::string_view function) const {
  const std::shared_lock lock(mutex_);
  return rows_.contains(function);
}

void FunctionSeries::make_room(const std::set<std::string, std::less<>>& known) {
  const std::unique_lock lock(mutex_);
  if (rows_.size() < functions_max_) return;
  for (auto row = rows_.begin(); row != rows_.end();) {
    if (known.contains(row->first)) {
      ++row;
      continue;
    }
    remove(row->first);
    row = rows_.erase(row);
  }
}

/// `Add` gives the series that is there, or makes one: either is removed.
void FunctionSeries::remove(const std::string& name) {
  const prometheus::Labels in_area{{"area", area_}, {"function", name}};
  completed_.Remove(&completed_.Add(in_area));
  cold_starts_.Remove(&cold_starts_.Add(in_area));
  execution_.Remove(&execution_.Add({{"function", name}}, kExecutionBuckets));
  init_.Remove(&init_.Add({{"function", name}}, kInitBuckets));
  output_.Remove(&output_.Add({{"function", name}}, kOutputBuckets));
  for (const char* outcome : {"succeeded", "failed", "refused"}) {
    invocations_.Remove(&invocations_.Add({{"function", name}, {"outcome", outcome}}));
  }
  for (const FailureKind kind : kFailureKinds) {
    failures_.Remove(&failures_.Add({{"function", name}, {"kind", to_string(kind)}}));
  }
  for (const bool warm : {true, false}) response_.Remove(&response(name, warm));
}

}  // namespace serverledge
