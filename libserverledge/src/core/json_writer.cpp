#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cmath>

#include "core/utf8.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

/// How Go escapes an ASCII byte in a string; empty if it stands for itself.
std::string_view short_escape(char c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return {};
  }
}

/// ASCII that a string holds as it is.
constexpr auto kStandsForItself = [] {
  std::array<bool, 256> plain{};
  for (std::size_t byte = 0x20; byte < 0x80; ++byte) plain[byte] = true;
  for (const char c : {'"', '\\', '<', '>', '&'}) plain[static_cast<unsigned char>(c)] = false;
  return plain;
}();

bool stands_for_itself(char c) { return kStandsForItself[static_cast<unsigned char>(c)]; }

void append_ascii(std::string& out, char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  if (stands_for_itself(c)) {
    out += c;
  } else if (const std::string_view escape = short_escape(c); !escape.empty()) {
    out += escape;
  } else {
    out += "\\u00";
    out += kHex[static_cast<unsigned char>(c) >> 4];
    out += kHex[static_cast<unsigned char>(c) & 0xF];
  }
}

/// The shortest digits that read back as `value` (which is finite), and where the decimal point stands among
/// them.
struct Decimal {
  std::string digits;
  int point = 0;  ///< before the first digit: 0; after it: 1
};

Decimal shortest(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr;
  const std::string_view all(text, static_cast<std::size_t>(end - text));
  const std::size_t e = all.find('e');
  Decimal decimal;
  for (const char c : all.substr(0, e)) {
    if (c != '.') decimal.digits += c;
  }
  const std::size_t exponent = e + (all[e + 1] == '+' ? 2 : 1);
  std::from_chars(text + exponent, end, decimal.point);
  ++decimal.point;
  return decimal;
}

/// What most numbers of ours are: times. A whole number of nanoseconds of at most 15 digits is the only
/// decimal of so few digits that reads back as its double, and so the shortest. False: `value` is no such
/// number.
bool append_nanoseconds(std::string& out, double value) {
  constexpr double kPerSecond = 1e9;
  if (!(value >= 1e-6 && value < 1e6)) return false;
  const auto count = static_cast<std::uint64_t>(std::llround(value * kPerSecond));
  if (static_cast<double>(count) / kPerSecond != value) return false;
  // The digits of the fraction, made from the right; then the point and what stands before it.
  char text[24];
  char* const end = text + sizeof text;
  char* const point = end - 10;
  std::uint64_t left = count;
  for (char* at = end; at != point + 1; left /= 10) *--at = static_cast<char>('0' + left % 10);
  *point = '.';
  char* begin = point;
  do {
    *--begin = static_cast<char>('0' + left % 10);
    left /= 10;
  } while (left > 0);
  char* last = end;
  while (last[-1] == '0') --last;
  if (last[-1] == '.') --last;
  out.append(begin, static_cast<std::size_t>(last - begin));
  return true;
}

/// As Go's encoding/json prints a float64: without exponent between 1e-6 and 1e21.
void append_number(std::string& out, double value) {
  if (append_nanoseconds(out, value)) return;
  if (std::signbit(value)) out += '-';
  const Decimal decimal = shortest(std::fabs(value));
  const auto count = static_cast<int>(decimal.digits.size());
  const int point = value == 0 ? 1 : decimal.point;
  if (point < -5 || point > 21) {
    out += decimal.digits.front();
    if (count > 1) out.append(".").append(decimal.digits, 1);
    out.append(point > 0 ? "e+" : "e-").append(std::to_string(std::abs(point - 1)));
  } else if (point <= 0) {
    out.append("0.").append(static_cast<std::size_t>(-point), '0').append(decimal.digits);
  } else if (point >= count) {
    out.append(decimal.digits).append(static_cast<std::size_t>(point - count), '0');
  } else {
    const auto whole = static_cast<std::size_t>(point);
    out.append(decimal.digits, 0, whole).append(".").append(decimal.digits, whole);
  }
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  if (std::all_of(text.begin(), text.end(), stands_for_itself)) {  // nearly always, and then in one piece
    const std::size_t at = out.size();
    out.resize(at + text.size() + 2, '"');
    text.copy(&out[at + 1], text.size());
    return;
  }
  out.reserve(out.size() + text.size() + 2);
  out += '"';
  for (std::size_t at = 0; at < text.size();) {
    std::size_t plain = at;
    while (plain < text.size() && stands_for_itself(text[plain])) ++plain;
    out.append(text, at, plain - at);
    at = plain;
    if (at == text.size()) break;
    const std::size_t length = utf8_sequence(text, at);
    const std::string_view sequence = text.substr(at, length);
    if (length == 0) {
      out += "\\ufffd";
    } else if (length == 1) {
      append_ascii(out, text[at]);
    } else if (sequence == "\xE2\x80\xA8") {
      out += "\\u2028";
    } else if (sequence == "\xE2\x80\xA9") {
      out += "\\u2029";
    } else {
      out += sequence;
    }
    at += length == 0 ? 1 : length;
  }
  out += '"';
}

void JsonWriter::separate() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (!first_) out_ += ',';
  first_ = false;
}

JsonWriter& JsonWriter::begin_object() {
  separate();
  out_ += '{';
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::end_object() {
  assert(!after_key_);
  out_ += '}';
  first_ = false;
  return *this;
}

JsonWriter& JsonWriter::begin_array() {
  separate();
  out_ += '[';
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::end_array() {
  assert(!after_key_);
  out_ += ']';
  first_ = false;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  assert(!after_key_);
  separate();
  append_json_string(out_, name);
  out_ += ':';
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::string(std::string_view value) {
  separate();
  append_json_string(out_, value);
  return *this;
}

JsonWriter& JsonWriter::integer(std::int64_t value) {
  separate();
  out_ += std::to_string(value);
  return *this;
}

JsonWriter& JsonWriter::number(double value) {
  if (!std::isfinite(value)) return null();
  separate();
  append_number(out_, value);
  return *this;
}

JsonWriter& JsonWriter::boolean(bool value) { return raw(value ? "true" : "false"); }

JsonWriter& JsonWriter::null() { return raw("null"); }

JsonWriter& JsonWriter::raw(std::string_view json) {
  separate();
  out_ += json;
  return *this;
}

}  // namespace serverledge
