#pragma once

#include <initializer_list>
#include <string_view>
#include <utility>

#include "serverledge/core/invocation.hpp"

namespace serverledge {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// A named value of a log line.
using LogField = std::pair<std::string_view, std::string_view>;

/// Told of what happens. Every method does nothing by default: override what interests. Thread-safe; never
/// called under a lock of the node; must not block or throw. Never given params or results to keep.
class Observer {
 public:
  virtual ~Observer() = default;
  /// An invocation ended here: executed (report), or not (error).
  virtual void completed(const Invocation& /*invocation*/, const ExecutionReport& /*report*/) {}
  virtual void rejected(const Invocation& /*invocation*/, const Error& /*error*/) {}
  virtual void container_started(const Function& /*function*/, Duration /*init_time*/) {}
  virtual void container_failed(const Function& /*function*/, const Error& /*error*/) {}
  virtual void container_gone(const Function& /*function*/, std::string_view /*reason*/) {}
  virtual void log(LogLevel /*level*/, std::string_view /*event*/,
                   std::initializer_list<LogField> /*fields*/) {}
};

}  // namespace serverledge
