#include "indent_json.hpp"

#include <cstddef>

namespace serverledge::cli {
namespace {

bool is_space(char byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }

// The end of the string that begins at `at`.
std::size_t string_end(std::string_view json, std::size_t at) {
  for (++at; at < json.size() && json[at] != '"'; ++at) {
    if (json[at] == '\\') ++at;
  }
  return at + 1;
}

}  // namespace

std::string indent_json(std::string_view json) {
  std::string out;
  std::size_t depth = 0;
  bool opened = false;  // just after an opening bracket: an empty one is closed on the same line
  const auto new_line = [&] { out.append(1, '\n').append(depth, '\t'); };
  for (std::size_t at = 0; at < json.size();) {
    const char byte = json[at];
    if (is_space(byte)) {
      ++at;
      continue;
    }
    if (byte == '}' || byte == ']') {
      --depth;
      if (!opened) new_line();
    } else if (opened) {
      new_line();
    }
    opened = byte == '{' || byte == '[';
    const std::size_t end = byte == '"' ? string_end(json, at) : at + 1;
    out += json.substr(at, end - at);
    at = end;
    if (opened) ++depth;
    if (byte == ',') new_line();
    if (byte == ':') out += ' ';
  }
  return out;
}

}  // namespace serverledge::cli
