#include "settings.hpp"

#include <charconv>
#include <cmath>
#include <system_error>

#include "command_line.hpp"

namespace serverledge {
namespace {

Unexpected wrong_variable(const char* name, std::string_view expected) {
  return Unexpected(ErrorCode::kInvalid, std::string(name) + " must be " + std::string(expected));
}

template <typename Number>
std::optional<Number> parse(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// Reads a number of bytes, or a port, into `value` if the variable is set.
template <typename Number>
Result<void> read_number(const Environment& environment, const char* name, Number most, Number& value) {
  const std::optional<std::string> text = environment(name);
  if (!text || text->empty()) return {};
  const std::optional<Number> number = parse<Number>(*text);
  if (!number || *number < 0 || *number > most) {
    return wrong_variable(name, "a number from 0 to " + std::to_string(most) + ", not \"" + *text + '"');
  }
  value = *number;
  return {};
}

Result<void> read_timeout(const Environment& environment, std::optional<Duration>& timeout) {
  const std::optional<std::string> text = environment("EXECUTOR_TIMEOUT_SEC");
  if (!text || text->empty()) return {};
  const std::optional<double> seconds = parse<double>(*text);
  if (!seconds || !std::isfinite(*seconds) || *seconds <= 0) {
    return wrong_variable("EXECUTOR_TIMEOUT_SEC", "a number of seconds above 0, not \"" + *text + '"');
  }
  timeout = from_seconds(*seconds);
  return {};
}

}  // namespace

Result<ExecutorSettings> read_settings(const Environment& environment) {
  ExecutorSettings settings;
  constexpr std::size_t kMost = std::size_t{1} << 30U;
  for (const Result<void>& read :
       {read_number(environment, "EXECUTOR_PORT", 65535, settings.port),
        read_number(environment, "EXECUTOR_BODY_LIMIT", kMost, settings.body_max),
        read_number(environment, "EXECUTOR_OUTPUT_LIMIT", kMost, settings.output_max),
        read_number(environment, "EXECUTOR_RESULT_LIMIT", kMost, settings.result_max),
        read_timeout(environment, settings.timeout)}) {
    if (!read) return Unexpected(read.error());
  }
  if (const auto line = environment("CUSTOM_CMD")) {
    Result<std::vector<std::string>> words = split_command_line(*line);
    if (!words) return wrong_variable("CUSTOM_CMD", "a command: " + words.error().message);
    settings.command = std::move(*words);
  }
  settings.context = environment("CONTEXT");
  if (const auto folder = environment("TMPDIR"); folder && !folder->empty()) settings.folder = *folder;
  return settings;
}

}  // namespace serverledge
