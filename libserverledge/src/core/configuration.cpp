#include "serverledge/core/configuration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace serverledge {
namespace {

using Type = ConfigurationKey::Type;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view part = trim(text.substr(0, comma));
    if (!part.empty()) parts.emplace_back(part);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

template <typename T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<bool> parse_boolean(std::string_view text) {
  const std::string word = lower(text);
  if (word == "true" || word == "yes" || word == "on" || word == "1") return true;
  if (word == "false" || word == "no" || word == "off" || word == "0") return false;
  return std::nullopt;
}

bool is_number(Type type) {
  return type == Type::kInteger || type == Type::kNumber || type == Type::kSeconds ||
         type == Type::kMegabytes;
}

bool in_family(const ConfigurationKey& key, std::string_view name) {
  if (!key.name.ends_with(".*")) return false;
  const std::string_view prefix = key.name.substr(0, key.name.size() - 1);
  return name.size() > prefix.size() && name.starts_with(prefix);
}

/// The row of a key as it is written in lower case; null if there is none.
const ConfigurationKey* find_row(std::string_view name) {
  for (const ConfigurationKey& key : configuration_keys()) {
    if (key.name == name || in_family(key, name)) return &key;
  }
  return nullptr;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

std::string what_fits(const ConfigurationKey& key) {
  if (!key.choices.empty()) return fmt::format("one of {}", fmt::join(split(key.choices), ", "));
  std::string range = key.maximum != 0 ? fmt::format(" from {} to {}", key.minimum, key.maximum)
                                       : fmt::format(" of at least {}", key.minimum);
  switch (key.type) {
    case Type::kInteger:
      return "an integer" + range;
    case Type::kNumber:
      return "a number" + range;
    case Type::kSeconds:
      return "a number of seconds" + range;
    case Type::kMegabytes:
      return "a number of MB" + range;
    case Type::kBoolean:
      return "true or false";
    case Type::kList:
      return "a list";
    case Type::kText:
      break;
  }
  return "a text";
}

bool fits(const ConfigurationKey& key, std::string_view value) {
  if (!key.choices.empty()) {
    const std::vector<std::string> choices = split(key.choices);
    return std::find(choices.begin(), choices.end(), value) != choices.end();
  }
  if (key.type == Type::kBoolean) return parse_boolean(value).has_value();
  if (!is_number(key.type)) return true;
  if (key.type == Type::kInteger && !parse_number<std::int64_t>(value)) return false;
  const std::optional<double> number = parse_number<double>(value);
  return number && std::isfinite(*number) && *number >= key.minimum &&
         (key.maximum == 0 || *number <= key.maximum);
}

/// The row of a key that the code asks for.
const ConfigurationKey& row_for(std::string_view name, std::initializer_list<Type> types) {
  const ConfigurationKey* row = find_row(name);
  if (row == nullptr) throw std::logic_error(fmt::format("no configuration key {}", name));
  if (types.size() != 0 && std::find(types.begin(), types.end(), row->type) == types.end()) {
    throw std::logic_error(fmt::format("the configuration key {} has another type", name));
  }
  return *row;
}

}  // namespace

std::string_view nearest_configuration_key(std::string_view name) {
  constexpr std::size_t kLongestCompared = 64;
  name = name.substr(0, kLongestCompared);
  std::string_view nearest;
  std::size_t fewest = std::numeric_limits<std::size_t>::max();
  for (const ConfigurationKey& key : configuration_keys()) {
    const std::size_t distance = edit_distance(name, key.name);
    if (distance < fewest) {
      fewest = distance;
      nearest = key.name;
    }
  }
  return nearest;
}

std::string environment_name(std::string_view key) {
  std::string name = "SERVERLEDGE_";
  for (const char c : key) {
    name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c == '.' ? '_' : c;
  }
  return name;
}

Result<void> Configuration::set(std::string_view key, std::string_view value, std::string_view origin) {
  const std::string name = lower(trim(key));
  const ConfigurationKey* row = find_row(name);
  if (row == nullptr || row->name.ends_with(".*") == (row->name == name)) {
    return Unexpected(ErrorCode::kInvalid,
                      fmt::format("{}: unknown configuration key \"{}\"; the nearest known one is \"{}\"",
                                  origin, key, nearest_configuration_key(name)));
  }
  const std::string_view trimmed = trim(value);
  if (trimmed.empty() && row->default_value.empty()) {
    settings_.erase(name);
    return {};
  }
  if (!fits(*row, trimmed)) {
    return Unexpected(ErrorCode::kInvalid,
                      fmt::format("{}: {} must be {}, not \"{}\"", origin, name, what_fits(*row), value));
  }
  std::string stored(trimmed);
  if (row->type == Type::kBoolean) stored = parse_boolean(trimmed).value_or(false) ? "true" : "false";
  settings_.insert_or_assign(name, Setting{std::move(stored), std::string(origin)});
  return {};
}

std::string Configuration::effective_text(std::string_view key, const ConfigurationKey& row) const {
  const auto set = settings_.find(key);
  return set == settings_.end() ? std::string(row.default_value) : set->second.value;
}

std::string Configuration::text(std::string_view key) const { return effective_text(key, row_for(key, {})); }

std::int64_t Configuration::integer(std::string_view key) const {
  return parse_number<std::int64_t>(effective_text(key, row_for(key, {Type::kInteger}))).value_or(0);
}

double Configuration::number(std::string_view key) const {
  return parse_number<double>(effective_text(key, row_for(key, {Type::kNumber, Type::kInteger}))).value_or(0);
}

bool Configuration::boolean(std::string_view key) const {
  return effective_text(key, row_for(key, {Type::kBoolean})) == "true";
}

Duration Configuration::duration(std::string_view key) const {
  return from_seconds(parse_number<double>(effective_text(key, row_for(key, {Type::kSeconds}))).value_or(0));
}

std::uint64_t Configuration::bytes(std::string_view key) const {
  constexpr double kMegabyte = 1U << 20;
  const double megabytes =
      parse_number<double>(effective_text(key, row_for(key, {Type::kMegabytes}))).value_or(0);
  return static_cast<std::uint64_t>(std::min(megabytes * kMegabyte, 0x1p62));
}

std::vector<std::string> Configuration::list(std::string_view key) const {
  return split(effective_text(key, row_for(key, {Type::kList})));
}

bool Configuration::is_set(std::string_view key) const {
  row_for(key, {});
  return settings_.contains(key);
}

std::vector<Configuration::Effective> Configuration::effective() const {
  std::vector<Effective> all;
  for (const ConfigurationKey& key : configuration_keys()) {
    if (!key.name.ends_with(".*") && !settings_.contains(key.name)) {
      all.push_back({std::string(key.name), std::string(key.default_value), "default"});
    }
  }
  for (const auto& [name, setting] : settings_) all.push_back({name, setting.value, setting.origin});
  std::sort(all.begin(), all.end(), [](const Effective& a, const Effective& b) { return a.key < b.key; });
  return all;
}

std::vector<std::string> Configuration::warnings() const {
  std::vector<std::string> sentences;
  for (const auto& [name, setting] : settings_) {
    if (find_row(name)->unused)
      sentences.push_back(fmt::format("{}: {} has no effect in this version", setting.origin, name));
  }
  return sentences;
}

}  // namespace serverledge
