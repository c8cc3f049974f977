#pragma once

#include <string>

#include "serverledge/core/result.hpp"

namespace serverledge::cli {

/// A function's source as the node takes it. A directory becomes a tar of its contents, whose symbolic links
/// are kept; a .tar, .tar.gz or .tgz stays as it is; any other file becomes a tar that holds just it; an http
/// or https URL is returned itself, for the node to fetch. kInvalid naming the file and what is wrong with
/// it.
Result<std::string> read_source(const std::string& source);

}  // namespace serverledge::cli
