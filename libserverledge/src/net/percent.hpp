#pragma once

#include <string>
#include <string_view>

namespace serverledge {

/// In a query a plus sign stands for a space, in a path for itself.
enum class PlusIs { kItself, kSpace };

/// %41 becomes A; a percent sign without two hex digits behind it stays as it is.
std::string percent_decoded(std::string_view text, PlusIs plus);

/// A becomes %41, unless it is unreserved (RFC 3986, 2.3: letters, digits, "-._~") or among `also_plain`.
std::string percent_encoded(std::string_view text, std::string_view also_plain = {});

}  // namespace serverledge
