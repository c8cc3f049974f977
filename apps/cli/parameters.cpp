#include "parameters.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include "serverledge/core/json.hpp"

namespace serverledge::cli {
namespace {

using Members = std::vector<std::pair<std::string, std::string>>;  // name, value as JSON text

void set(Members& members, std::string name, std::string value) {
  const auto same = [&](const auto& member) { return member.first == name; };
  if (const auto found = std::find_if(members.begin(), members.end(), same); found != members.end()) {
    found->second = std::move(value);
  } else {
    members.emplace_back(std::move(name), std::move(value));
  }
}

Result<void> add_file(Members& members, const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(in), {});
  if (!in.is_open() || in.bad()) {
    return Unexpected(ErrorCode::kInvalid, fmt::format("params_file {}: {}", file, std::strerror(errno)));
  }
  const auto document = JsonDocument::parse(text);
  if (!document) {
    return Unexpected(ErrorCode::kInvalid, fmt::format("params_file {}: {}", file, document.error().message));
  }
  const JsonValue root = document->root();
  if (!root.is_object()) {
    return Unexpected(ErrorCode::kInvalid, fmt::format("params_file {} must hold a JSON object, not {}", file,
                                                       to_string(root.type())));
  }
  for (std::size_t i = 0; i < root.size(); ++i)
    set(members, std::string(root.key(i)), std::string(root.at(i).raw()));
  return {};
}

Result<void> add_argument(Members& members, std::string_view argument) {
  const auto colon = argument.find(':');
  if (colon == std::string_view::npos || colon == 0) {
    return Unexpected(ErrorCode::kInvalid, fmt::format("param must be <name>:<value>, not '{}'", argument));
  }
  if (!is_utf8(argument)) {
    return Unexpected(ErrorCode::kInvalid, fmt::format("param '{}' is not UTF-8", to_utf8(argument)));
  }
  std::string value;
  append_json_string(value, argument.substr(colon + 1));
  set(members, std::string(argument.substr(0, colon)), std::move(value));
  return {};
}

}  // namespace

Result<std::string> parameters(const std::vector<std::string>& arguments, const std::string& file) {
  Members members;
  if (!file.empty()) {
    if (auto added = add_file(members, file); !added) return Unexpected(added.error());
  }
  for (const auto& argument : arguments) {
    if (auto added = add_argument(members, argument); !added) return Unexpected(added.error());
  }
  std::string json;
  JsonWriter writer(json);
  writer.begin_object();
  for (const auto& [name, value] : members) writer.key(name).raw(value);
  writer.end_object();
  return json;
}

}  // namespace serverledge::cli
