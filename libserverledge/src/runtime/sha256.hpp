#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace serverledge {

/// SHA-256 of the parts one after the other, in lower-case hex.
std::string sha256_hex(std::initializer_list<std::string_view> parts);

}  // namespace serverledge
