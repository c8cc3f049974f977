#pragma once

#include <string>
#include <vector>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// The folders besides the system's own that sandboxes must be shown for an interpreter to run: that which
/// holds its `bin`, and the same of what it links to. Empty if the program is not there. kInvalid naming the
/// program if it lies where sandboxes see something else, or if such a folder holds one of `hidden`, which
/// they must not see.
Result<std::vector<std::string>> interpreter_folders(const std::string& program,
                                                     const std::vector<std::string>& hidden);

}  // namespace serverledge
