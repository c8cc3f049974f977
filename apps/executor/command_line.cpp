#include "command_line.hpp"

#include <optional>

namespace serverledge {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kEscapedInQuotes = "\"\\$`";

/// What stands between quotes, from after the first on; nullopt if they do not end. Moves `at` behind the
/// last.
std::optional<std::string> quoted(std::string_view line, char quote, std::size_t& at) {
  std::string text;
  for (; at < line.size(); ++at) {
    if (line[at] == quote) {
      ++at;
      return text;
    }
    const bool escapes = quote == '"' && line[at] == '\\' && at + 1 < line.size() &&
                         kEscapedInQuotes.find(line[at + 1]) != std::string_view::npos;
    if (escapes) ++at;
    text += line[at];
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<std::string>> split_command_line(std::string_view line) {
  std::vector<std::string> words;
  std::optional<std::string> word;  // "" is a word, no characters are none
  std::size_t at = 0;
  while (at < line.size()) {
    const char next = line[at++];
    if (kBlanks.find(next) != std::string_view::npos) {
      if (word) words.push_back(*std::exchange(word, std::nullopt));
      continue;
    }
    if (!word) word.emplace();
    if (next == '\'' || next == '"') {
      const std::optional<std::string> text = quoted(line, next, at);
      if (!text) return Unexpected(ErrorCode::kInvalid, std::string("a ") + next + " is not closed");
      *word += *text;
    } else if (next == '\\') {
      if (at == line.size()) return Unexpected(ErrorCode::kInvalid, "a \\ is the last character");
      *word += line[at++];
    } else {
      *word += next;
    }
  }
  if (word) words.push_back(*word);
  return words;
}

}  // namespace serverledge
