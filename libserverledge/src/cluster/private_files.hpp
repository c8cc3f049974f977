#pragma once

#include <string>
#include <string_view>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// Whether an errno says that a disk, or the share of it that we may use, is full.
bool is_no_space(int error_number) noexcept;

/// Makes a folder that only its owner may enter (mode 0700), and what is missing above it, so that it is
/// still there after power loss. One that is there stays as it is. kDiskFull, or kUnavailable naming it and
/// what failed.
Result<void> make_private_folder(const std::string& folder);

/// Makes an empty file that only its owner may read (mode 0600), likewise. One that is there stays as it is.
/// Never closes a descriptor of the file while others may have locked it: that would drop the locks of this
/// process.
Result<void> make_private_file(const std::string& file);

/// Gives such a file another content, whole: readers find the one or the other. After power loss it may hold
/// the old one, or be missing. kDiskFull, or kUnavailable naming it and what failed.
Result<void> replace_private_file(const std::string& file, std::string_view text);

}  // namespace serverledge
