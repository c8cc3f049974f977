#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "serverledge/net/http_message.hpp"

namespace serverledge {

/// What is wrong with a message, in a few words of ours (no byte of the peer's); nullptr: nothing.
using Defect = const char*;

/// Finds the end of a head (start line, header lines, blank line) in bytes that arrive in pieces. Every line
/// must end in CRLF; a bare CR or LF, or a NUL, makes the head malformed: software in between might see other
/// lines there.
class HeadScanner {
 public:
  enum class Found { kNotYet, kWhole, kMalformed };

  /// `bytes` starts where the head starts and holds at least what it held at the call before.
  Found scan(std::string_view bytes);
  /// Bytes of the head with its blank line, once it is whole.
  std::size_t size() const noexcept { return line_; }
  Defect defect() const noexcept { return defect_; }

 private:
  std::size_t line_ = 0;      // where the line that is being looked at starts
  std::size_t searched_ = 0;  // no LF between line_ and here
  Defect defect_ = nullptr;
};

/// Parses header lines (every one ended by CRLF, the blank line last or left out) strictly by RFC 9112: no
/// folding, no space before the colon, no control characters.
Defect parse_header_lines(std::string_view lines, HttpHeaders& headers);

/// How the body of a message is delimited, by its headers.
struct Framing {
  bool chunked = false;
  std::optional<std::uint64_t> length;
  Defect defect = nullptr;      ///< Content-Length twice, with Transfer-Encoding, or no number
  bool unknown_coding = false;  ///< a Transfer-Encoding other than "chunked"
};
Framing framing_of(const HttpHeaders& headers);

/// Whether a header that is a comma-separated list (of any number of fields) has this token, compared without
/// case.
bool has_token(const HttpHeaders& headers, std::string_view name, std::string_view token);

/// Whether these are all characters of a method or a header name, and at least one.
bool is_token(std::string_view text) noexcept;

/// A value that may be sent: no control characters but tabs.
bool is_field_value(std::string_view text) noexcept;

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept;

/// The words that go with a status in an answer (RFC 9110).
std::string_view reason_phrase(int status) noexcept;

}  // namespace serverledge
