#pragma once

#include <string>
#include <string_view>

namespace serverledge {

/// In a query a plus sign stands for a space, in a path for itself.
enum class PlusIs { kItself, kSpace };

/// %41 becomes A; a percent sign without two hex digits behind it stays as it is.
std::string percent_decoded(std::string_view text, PlusIs plus);

}  // namespace serverledge
