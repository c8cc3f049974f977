#pragma once

#include <string>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// Whom the entries of an archive belong to.
struct TarOwner {
  unsigned uid = 0;
  unsigned gid = 0;
};

/// A tar of a folder of unpacked code: its files, folders and symbolic links, with a first entry for the
/// folder itself. kUnavailable naming what cannot be read.
Result<std::string> tar_of_folder(const std::string& folder, TarOwner owner);

}  // namespace serverledge
