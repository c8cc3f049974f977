#include "serverledge/observe/log_observer.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <utility>

#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

constexpr std::array<std::pair<std::string_view, LogLevel>, 4> kLevels{{{"debug", LogLevel::kDebug},
                                                                        {"info", LogLevel::kInfo},
                                                                        {"warning", LogLevel::kWarning},
                                                                        {"error", LogLevel::kError}}};

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

/// Hands formatted lines to a function.
class FunctionSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FunctionSink(std::function<void(std::string_view)> write) : write_(std::move(write)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    std::string_view text(line.data(), line.size());
    while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
    write_(text);
  }
  void flush_() override {}

 private:
  const std::function<void(std::string_view)> write_;
};

/// Lets the same thing through once in a while, and counts the rest. Thread-safe.
class Repetitions {
 public:
  explicit Repetitions(Clock& clock) : clock_(clock) {}

  /// How often it was held back since it was last let through; nullopt: hold it back now.
  std::optional<std::uint64_t> let_through(const std::string& what) {
    const TimePoint now = clock_.now();
    const std::scoped_lock lock(mutex_);
    if (seen_.size() >= kMost) {
      std::erase_if(seen_, [&](const auto& entry) { return now - entry.second.last >= kQuiet; });
    }
    if (seen_.size() >= kMost && !seen_.contains(what)) return 0;
    const auto [entry, first] = seen_.try_emplace(what, Seen{now, 0});
    if (first) return 0;
    if (now - entry->second.last < kQuiet) {
      ++entry->second.held_back;
      return std::nullopt;
    }
    entry->second.last = now;
    return std::exchange(entry->second.held_back, 0);
  }

 private:
  static constexpr std::size_t kMost = 1000;
  static constexpr Duration kQuiet = std::chrono::seconds(10);
  struct Seen {
    TimePoint last;
    std::uint64_t held_back;
  };
  Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Seen> seen_;
};

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool is_word(std::string_view value) {
  return !value.empty() && is_utf8(value) && std::none_of(value.begin(), value.end(), [](char c) {
    return is_control(c) || c == ' ' || c == '"' || c == '=';
  });
}

std::string milliseconds(Duration duration) { return fmt::format("{:.3f}", seconds(duration) * 1000); }

std::string_view or_none(std::string_view request) { return request.empty() ? "none" : request; }

class LogObserver final : public Observer {
 public:
  LogObserver(const LogOptions& options, Clock& clock)
      : json_(options.format == LogFormat::kJson), clock_(clock), repetitions_(clock) {
    std::shared_ptr<spdlog::sinks::sink> sink;
    if (options.sink) {
      sink = std::make_shared<FunctionSink>(options.sink);
    } else {
      sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    }
    logger_ = std::make_unique<spdlog::logger>("serverledge", std::move(sink));
    logger_->set_level(to_spdlog(options.level));
    logger_->set_pattern(
        json_ ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})" : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
        spdlog::pattern_time_type::utc);
    logger_->flush_on(spdlog::level::debug);
    // A log that cannot be written has nowhere to say so.
    logger_->set_error_handler([](const std::string&) {});
  }

  void completed(const Invocation& invocation, const ExecutionReport& report) override {
    if (!report.failure) {
      if (!logger_->should_log(spdlog::level::debug)) return;
      write(LogLevel::kDebug, "executed",
            {{"request", invocation.id},
             {"function", invocation.function->name},
             {"warm", report.warm ? "true" : "false"},
             {"milliseconds", milliseconds(report.duration)}});
      return;
    }
    write(LogLevel::kInfo, "function failed",
          {{"request", invocation.id},
           {"function", invocation.function->name},
           {"kind", to_string(report.failure->kind)},
           {"milliseconds", milliseconds(report.duration)}});
  }

  void rejected(const Invocation& invocation, const Error& error) override {
    const std::string& function = invocation.function->name;
    once_in_a_while(LogLevel::kInfo, "call refused", function + " " + error.detail,
                    {{"request", invocation.id},
                     {"function", function},
                     {"code", to_string(error.code)},
                     {"reason", error.detail}});
  }

  void container_started(const Function& function, Duration init_time, std::string_view request) override {
    if (!logger_->should_log(spdlog::level::debug)) return;
    write(LogLevel::kDebug, "container started",
          {{"request", or_none(request)},
           {"function", function.name},
           {"milliseconds", milliseconds(init_time)}});
  }

  void container_failed(const Function& function, const Error& error, std::string_view request) override {
    once_in_a_while(LogLevel::kWarning, "container did not start", function.name + " " + error.message,
                    {{"request", or_none(request)},
                     {"function", function.name},
                     {"code", to_string(error.code)},
                     {"error", error.message}});
  }

  void container_gone(const Function& function, std::string_view reason, std::string_view request) override {
    if (!logger_->should_log(spdlog::level::debug)) return;
    write(LogLevel::kDebug, "container gone",
          {{"request", or_none(request)}, {"function", function.name}, {"reason", reason}});
  }

  void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) override {
    if (level < LogLevel::kWarning) return write(level, event, fields);
    std::string about(level == LogLevel::kError ? "error " : "");
    for (const auto& [name, value] : fields) about.append(name).append("=").append(value).push_back(' ');
    once_in_a_while(level, event, about, fields);
  }

 private:
  void once_in_a_while(LogLevel level, std::string_view event, const std::string& about,
                       std::initializer_list<LogField> fields) {
    const std::optional<std::uint64_t> left_out = repetitions_.let_through(std::string(event) + " " + about);
    if (left_out) write(level, event, fields, *left_out);
  }

  void write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields,
             std::uint64_t left_out = 0) {
    if (!logger_->should_log(to_spdlog(level))) return;
    std::string line;
    if (json_) {
      line.append("\"event\":");
      append_json_string(line, event);
    } else {
      line.append(event);
      std::replace_if(line.begin(), line.end(), is_control, ' ');
    }
    for (const auto& [name, value] : fields) field(line, name, value);
    if (left_out > 0) field(line, "left_out", std::to_string(left_out));
    logger_->log(std::chrono::time_point_cast<spdlog::log_clock::duration>(clock_.wall()),
                 spdlog::source_loc{}, to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
  }

  void field(std::string& line, std::string_view name, std::string_view value) const {
    if (json_) {
      line.push_back(',');
      append_json_string(line, name);
      line.push_back(':');
      append_json_string(line, value);
      return;
    }
    line.append(" ").append(name).push_back('=');
    // Quoted where it would not be one word, so that no value can look like another field or line, or reach
    // a terminal as a command.
    if (is_word(value)) {
      line.append(value);
    } else {
      append_json_string(line, value);
    }
  }

  const bool json_;
  Clock& clock_;
  Repetitions repetitions_;
  std::unique_ptr<spdlog::logger> logger_;
};

}  // namespace

std::optional<LogLevel> log_level(std::string_view name) {
  for (const auto& [known, level] : kLevels) {
    if (known == name) return level;
  }
  return std::nullopt;
}

std::shared_ptr<Observer> make_log_observer(const LogOptions& options, Clock& clock) {
  return std::make_shared<LogObserver>(options, clock);
}

}  // namespace serverledge
