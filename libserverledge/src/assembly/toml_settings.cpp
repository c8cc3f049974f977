#include <fmt/format.h>
#include <toml++/toml.h>

#include <optional>

#include "assembly/settings_text.hpp"

namespace serverledge {
namespace {

/// A plain value as text; nothing if it is none that a setting can have.
std::optional<std::string> text_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* integer = node.as_integer()) return std::to_string(integer->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* boolean = node.as_boolean()) return boolean->get() ? "true" : "false";
  return std::nullopt;
}

class TomlReader {
 public:
  explicit TomlReader(const std::string& file) : file_(file) {}

  Result<std::vector<FileSetting>> read(std::string_view text) {
    try {
      take_table(toml::parse(text), "", 0);
    } catch (const toml::parse_error& failure) {
      return Unexpected(ErrorCode::kInvalid,
                        fmt::format("{}:{}: {}", file_, failure.source().begin.line, failure.description()));
    }
    if (error_) return Unexpected(*error_);
    return std::move(settings_);
  }

 private:
  /// Remembers the first problem.
  void fail(const toml::node& at, std::string_view what) {
    if (!error_)
      error_ = {ErrorCode::kInvalid, fmt::format("{}:{}: {}", file_, at.source().begin.line, what), {}};
  }

  void take_table(const toml::table& table, const std::string& prefix, int depth) {
    for (const auto& [key, value] : table) {
      if (error_) return;
      if (key.empty()) return fail(value, "a key must be a text");
      take(value, prefix + std::string(key.str()), depth + 1);
    }
  }

  void take(const toml::node& value, const std::string& key, int depth) {
    if (depth > kDeepestSetting || settings_.size() >= kMostSettings) {
      return fail(value, "too many or too deeply nested settings");
    }
    if (const auto* table = value.as_table()) return take_table(*table, key + ".", depth);
    FileSetting setting{key, {}, false, static_cast<int>(value.source().begin.line)};
    if (const auto* array = value.as_array()) {
      setting.list = true;
      for (const toml::node& element : *array) {
        auto text = text_of(element);
        if (!text) return fail(element, key + ": the elements of a list must be plain values");
        setting.values.push_back(std::move(*text));
      }
    } else {
      auto text = text_of(value);
      if (!text) return fail(value, key + ": a date is no setting");
      setting.values.push_back(std::move(*text));
    }
    settings_.push_back(std::move(setting));
  }

  const std::string& file_;
  std::vector<FileSetting> settings_;
  std::optional<Error> error_;
};

}  // namespace

Result<std::vector<FileSetting>> read_toml_settings(std::string_view text, const std::string& file) {
  return TomlReader(file).read(text);
}

}  // namespace serverledge
