#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace serverledge {

/// Bytes of the well-formed UTF-8 sequence that begins at `at` (RFC 3629: no overlong forms, no surrogates,
/// up to U+10FFFF); 0 if there is none. `at` must be inside the text.
std::size_t utf8_sequence(std::string_view text, std::size_t at) noexcept;

/// Appends a code point, which must be a Unicode scalar value.
void append_utf8(std::string& out, std::uint32_t code_point);

}  // namespace serverledge
