#pragma once

#include <string>
#include <string_view>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// Standard base64 with padding (RFC 4648, section 4).
std::string base64_encode(std::string_view bytes);
/// Reads it back; line breaks are ignored. kInvalid naming the offset of the first wrong byte.
Result<std::string> base64_decode(std::string_view text);

}  // namespace serverledge
