#include "core/json_scanner.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "core/utf8.hpp"

namespace serverledge {
namespace {

using Event = JsonScanner::Event;

/// Bytes that a string may hold as they are: ASCII without control characters, quote and backslash.
constexpr auto kPlain = [] {
  std::array<bool, 256> plain{};
  for (std::size_t byte = 0x20; byte < 0x80; ++byte) plain[byte] = byte != '"' && byte != '\\';
  return plain;
}();

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_high_surrogate(unsigned unit) { return unit >= 0xD800 && unit <= 0xDBFF; }
bool is_low_surrogate(unsigned unit) { return unit >= 0xDC00 && unit <= 0xDFFF; }

unsigned hex_unit(std::string_view four) {
  unsigned unit = 0;
  std::from_chars(four.data(), four.data() + 4, unit, 16);
  return unit;
}

}  // namespace

Event JsonScanner::next() {
  if (error_.code == ErrorCode::kInvalid) return Event::kError;
  skip_space();
  begin_ = at_;
  switch (expect_) {
    case Expect::kElementOrEnd:
      if (peek() == ']') return close(Event::kEndArray);
      return value();
    case Expect::kValue:
      return value();
    case Expect::kKeyOrEnd:
      if (peek() == '}') return close(Event::kEndObject);
      return key();
    case Expect::kColon:
      if (peek() != ':') return fail("expected ':' after the name of a member");
      skip();
      return value();
    case Expect::kCommaOrEnd:
      return comma_or_end();
    case Expect::kNothing:
      break;
  }
  return at_end() ? Event::kEnd : fail("nothing may follow the value");
}

void JsonScanner::skip_space() {
  while (!at_end() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
    ++at_;
}

void JsonScanner::skip() {
  ++at_;
  skip_space();
  begin_ = at_;
}

Event JsonScanner::fail(std::string_view what) {
  error_ = {ErrorCode::kInvalid,
            fmt::format("not valid JSON at byte {}: {}", at_, at_end() ? "the text ends too early" : what),
            {}};
  return Event::kError;
}

Event JsonScanner::open(Event event, Expect expect) {
  if (open_.size() >= max_depth_) return fail(fmt::format("nested deeper than {} levels", max_depth_));
  open_ += text_[at_++];
  expect_ = expect;
  return event;
}

Event JsonScanner::close(Event event) {
  ++at_;
  open_.pop_back();
  expect_ = open_.empty() ? Expect::kNothing : Expect::kCommaOrEnd;
  return event;
}

Event JsonScanner::comma_or_end() {
  const bool object = open_.back() == '{';
  if (peek() == (object ? '}' : ']')) return close(object ? Event::kEndObject : Event::kEndArray);
  if (peek() != ',')
    return fail(object ? "expected ',' or '}' after a member" : "expected ',' or ']' after an element");
  skip();
  return object ? key() : value();
}

Event JsonScanner::key() {
  if (peek() != '"') return fail("expected the name of a member in double quotes");
  if (!string()) return Event::kError;
  expect_ = Expect::kColon;
  return Event::kKey;
}

Event JsonScanner::value() {
  Event event = Event::kError;
  switch (peek()) {
    case '{':
      return open(Event::kBeginObject, Expect::kKeyOrEnd);
    case '[':
      return open(Event::kBeginArray, Expect::kElementOrEnd);
    case '"':
      event = string() ? Event::kString : Event::kError;
      break;
    case 't':
      event = literal("true", Event::kTrue);
      break;
    case 'f':
      event = literal("false", Event::kFalse);
      break;
    case 'n':
      event = literal("null", Event::kNull);
      break;
    default:
      event = peek() == '-' || is_digit(peek()) ? number() : fail("expected a value");
      break;
  }
  expect_ = open_.empty() ? Expect::kNothing : Expect::kCommaOrEnd;
  return event;
}

Event JsonScanner::literal(std::string_view word, Event event) {
  if (text_.substr(at_, word.size()) != word) return fail("expected a value");
  at_ += word.size();
  return event;
}

bool JsonScanner::digits() {
  if (!is_digit(peek())) {
    fail("expected a digit");
    return false;
  }
  while (is_digit(peek())) ++at_;
  return true;
}

Event JsonScanner::number() {
  if (peek() == '-') ++at_;
  if (peek() == '0') {
    ++at_;
    if (is_digit(peek())) return fail("a number must not begin with 0");
  } else if (!digits()) {
    return Event::kError;
  }
  if (peek() == '.') {
    ++at_;
    if (!digits()) return Event::kError;
  }
  if (peek() == 'e' || peek() == 'E') {
    ++at_;
    if (peek() == '+' || peek() == '-') ++at_;
    if (!digits()) return Event::kError;
  }
  return Event::kNumber;
}

bool JsonScanner::string() {
  escaped_ = false;
  for (++at_; !at_end();) {
    const auto byte = static_cast<unsigned char>(text_[at_]);
    if (kPlain[byte]) {
      ++at_;
    } else if (byte == '"') {
      ++at_;
      return true;
    } else if (byte == '\\') {
      escaped_ = true;
      if (!escape()) return false;
    } else if (byte < 0x20) {
      fail("control characters in a string must be escaped");
      return false;
    } else {
      const std::size_t length = utf8_sequence(text_, at_);
      if (length == 0) {
        fail("invalid UTF-8");
        return false;
      }
      at_ += length;
    }
  }
  fail("");
  return false;
}

bool JsonScanner::escape() {
  ++at_;
  if (peek() != 'u') {
    if (at_end() || std::string_view("\"\\/bfnrt").find(peek()) == std::string_view::npos) {
      fail("unknown escape");
      return false;
    }
    ++at_;
    return true;
  }
  const std::size_t begin = at_ - 1;
  unsigned unit = 0;
  if (!hex4(unit)) return false;
  if (is_high_surrogate(unit) && text_.substr(at_, 2) == "\\u") {
    ++at_;
    if (!hex4(unit)) return false;
    if (is_low_surrogate(unit)) return true;
    unit = 0xD800;
  }
  if (!is_high_surrogate(unit) && !is_low_surrogate(unit)) return true;
  at_ = begin;
  fail("half of a surrogate pair stands alone");
  return false;
}

bool JsonScanner::hex4(unsigned& unit) {
  ++at_;
  for (std::size_t i = 0; i < 4; ++i, ++at_) {
    const char c = peek();
    if (!is_digit(c) && (c < 'a' || c > 'f') && (c < 'A' || c > 'F')) {
      fail("expected four hexadecimal digits");
      return false;
    }
  }
  unit = hex_unit(text_.substr(at_ - 4, 4));
  return true;
}

void append_unescaped(std::string& out, std::string_view inside) {
  constexpr std::string_view kNames = "bfnrt";
  constexpr std::string_view kBytes = "\b\f\n\r\t";
  for (std::size_t at = 0; at < inside.size();) {
    const std::size_t backslash = std::min(inside.find('\\', at), inside.size());
    out += inside.substr(at, backslash - at);
    if (backslash == inside.size()) return;
    const char name = inside[backslash + 1];
    at = backslash + 2;
    if (name == 'u') {
      std::uint32_t code_point = hex_unit(inside.substr(at));
      at += 4;
      if (is_high_surrogate(code_point)) {
        code_point = 0x10000 + ((code_point - 0xD800) << 10) + (hex_unit(inside.substr(at + 2)) - 0xDC00);
        at += 6;
      }
      append_utf8(out, code_point);
    } else {
      const std::size_t index = kNames.find(name);
      out += index == std::string_view::npos ? name : kBytes[index];
    }
  }
}

}  // namespace serverledge
