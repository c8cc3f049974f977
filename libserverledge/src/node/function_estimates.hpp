#pragma once

#include <map>
#include <string>
#include <string_view>

#include "serverledge/core/clock.hpp"
#include "serverledge/policy/node_view.hpp"

namespace serverledge {

/// What this process has learnt of each function, kept as exponentially weighted averages. Thread-compatible.
class FunctionEstimates {
 public:
  /// A call arrived.
  void arrived(std::string_view function, std::size_t input_bytes, TimePoint now);
  /// A container was started.
  void started(std::string_view function, Duration init_time);
  /// A call was executed.
  void completed(std::string_view function, Duration duration, bool cold, std::size_t output_bytes);
  void forget(std::string_view function);
  /// All zero for a function never seen.
  FunctionEstimate of(std::string_view function) const;

 private:
  struct Entry {
    FunctionEstimate estimate;
    TimePoint last_arrival{};
    double mean_gap = 0;  // seconds between arrivals
    bool arrived_before = false;
    bool started_before = false;
  };
  Entry& entry(std::string_view function);
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace serverledge
