#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "serverledge/core/invocation.hpp"

namespace serverledge {

/// The function label of whatever has no series of its own. No function can have that name.
inline constexpr const char* kOtherFunctions = "_other";

/// The series that carry a function's name, for a bounded number of functions. Thread-safe.
class FunctionSeries {
 public:
  FunctionSeries(prometheus::Registry& registry, std::string area, std::size_t functions_max);

  /// A call ended with this report; `local`: this node ran it.
  void executed(const std::string& function, const ExecutionReport& report, bool local);
  void refused(const std::string& function);

  /// Gives up the series of functions that are not `known` any more, if there is no room for others.
  void make_room(const std::set<std::string, std::less<>>& known);
  /// Whether the function has series of its own.
  bool has(std::string_view function) const;

 private:
  /// What every warm call touches, looked up once.
  struct Row {
    prometheus::Counter* completed;
    prometheus::Counter* succeeded;
    prometheus::Histogram* execution;
    prometheus::Histogram* output;
    prometheus::Histogram* response_warm;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
  };
  using Rows = std::unordered_map<std::string, Row, Hash, std::equal_to<>>;

  /// Runs `count(name, row)` with the row of the function, which stays until it returns.
  template <typename Count>
  void with_row(const std::string& function, const Count& count);
  Row make_row(const std::string& name);
  void remove(const std::string& name);
  prometheus::Histogram& response(const std::string& name, bool warm);

  const std::string area_;
  const std::size_t functions_max_;
  prometheus::Family<prometheus::Counter>& completed_;
  prometheus::Family<prometheus::Counter>& cold_starts_;
  prometheus::Family<prometheus::Histogram>& execution_;
  prometheus::Family<prometheus::Histogram>& init_;
  prometheus::Family<prometheus::Histogram>& output_;
  prometheus::Family<prometheus::Counter>& invocations_;
  prometheus::Family<prometheus::Counter>& failures_;
  prometheus::Family<prometheus::Histogram>& response_;

  mutable std::shared_mutex mutex_;  // held while a row is used: unique to add or remove one
  Rows rows_;
  Row other_;
};

}  // namespace serverledge
