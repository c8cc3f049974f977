#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/observer.hpp"

namespace serverledge {

enum class LogFormat { kText, kJson };

struct LogOptions {
  LogLevel level = LogLevel::kInfo;  ///< lines below it are not written
  LogFormat format = LogFormat::kText;
  /// Where lines go, without their newline; empty: standard error. Called by one thread at a time.
  std::function<void(std::string_view line)> sink;
};

/// "debug", "info", "warning", "error"; nullopt for another name.
std::optional<LogLevel> log_level(std::string_view name);

/// Writes what happens as one line each, text or JSON, with the time in UTC. Successful calls are lines of
/// level debug; failed and refused ones of level info, with the request's id. Params, results, output and a
/// function's own messages never appear. The same event about the same thing is written at most once in 10
/// seconds if it is a refusal, a warning or an error, with the number left out in between. Thread-safe.
/// `clock` must outlive it.
std::shared_ptr<Observer> make_log_observer(const LogOptions& options, Clock& clock);

}  // namespace serverledge
