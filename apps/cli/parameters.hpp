#pragma once

#include <string>
#include <vector>

#include "serverledge/core/result.hpp"

namespace serverledge::cli {

/// The JSON object of a call's parameters: the members of the object in `file` as they stand there (no file
/// if empty), then "name:value" arguments, split at the first colon, whose values are JSON strings. An
/// argument takes the place of the file's member and of an earlier argument of that name. kInvalid saying
/// what is wrong.
Result<std::string> parameters(const std::vector<std::string>& arguments, const std::string& file);

}  // namespace serverledge::cli
