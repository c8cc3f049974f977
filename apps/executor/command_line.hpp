#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// The words of a command line, as a shell takes it apart: at spaces, tabs and newlines; '...' keeps
/// everything,
/// "..." all but \" \\ \$ \`; a backslash outside quotes keeps the next character. Nothing is expanded: no
/// variables, no patterns, no redirections. kInvalid for a quote that does not end, or a backslash at the
/// end.
Result<std::vector<std::string>> split_command_line(std::string_view line);

}  // namespace serverledge
