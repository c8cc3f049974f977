#include <fmt/format.h>

#include "serverledge/core/configuration.hpp"

namespace serverledge {
namespace {

std::string_view type_name(ConfigurationKey::Type type) {
  switch (type) {
    case ConfigurationKey::Type::kText:
      return "text";
    case ConfigurationKey::Type::kInteger:
      return "integer";
    case ConfigurationKey::Type::kNumber:
      return "number";
    case ConfigurationKey::Type::kBoolean:
      return "boolean";
    case ConfigurationKey::Type::kSeconds:
      return "seconds";
    case ConfigurationKey::Type::kMegabytes:
      return "MB";
    case ConfigurationKey::Type::kList:
      return "list";
  }
  return "text";
}

std::string default_cell(const ConfigurationKey& key) {
  return key.default_value.empty() ? std::string("–") : fmt::format("`{}`", key.default_value);
}

std::string type_cell(const ConfigurationKey& key) {
  if (key.choices.empty()) return std::string(type_name(key.type));
  std::string cell;
  for (std::string_view rest = key.choices; !rest.empty();) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    cell += fmt::format("{}`{}`", cell.empty() ? "" : ", ", rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return cell;
}

std::string range(const ConfigurationKey& key) {
  if (key.minimum == 0 && key.maximum == 0) return {};
  if (key.maximum == 0) return fmt::format(" At least {}.", key.minimum);
  return fmt::format(" From {} to {}.", key.minimum, key.maximum);
}

void append_table(std::string& page, bool unused) {
  page += "\n| key | values | default | meaning |\n|---|---|---|---|\n";
  for (const ConfigurationKey& key : configuration_keys()) {
    if (key.unused != unused) continue;
    page += fmt::format("| `{}` | {} | {} | {}{} |\n", key.name, type_cell(key), default_cell(key),
                        key.description, range(key));
  }
}

}  // namespace

std::string configuration_reference() {
  std::string page = "## Keys\n";
  append_table(page, false);
  page +=
      "\n## Keys without effect\n\n"
      "These keys of the Go implementation are accepted, so that its files can be used as they are; setting "
      "one gives a "
      "warning.\n";
  append_table(page, true);
  return page;
}

}  // namespace serverledge
