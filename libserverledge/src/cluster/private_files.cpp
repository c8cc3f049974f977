#include "cluster/private_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace serverledge {
namespace {

Unexpected cannot_make(const std::string& path, std::string_view why, int error_number) {
  return Unexpected(is_no_space(error_number) ? ErrorCode::kDiskFull : ErrorCode::kUnavailable,
                    fmt::format("cannot make {}: {}", path, why));
}
Unexpected cannot_make(const std::string& path, int error_number) {
  return cannot_make(path, std::generic_category().message(error_number), error_number);
}

std::string parent_of(const std::string& path) { return std::filesystem::path(path).parent_path().string(); }

/// Brings a new name in its folder to the disk.
Result<void> sync_name(const std::string& path) {
  const int folder = ::open(parent_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return cannot_make(path, errno);
  const int failure =
      ::fsync(folder) == 0 || errno == EINVAL ? 0 : errno;  // EINVAL: there is nothing to bring
  ::close(folder);
  if (failure != 0) return cannot_make(path, failure);
  return {};
}

}  // namespace

bool is_no_space(int error_number) noexcept { return error_number == ENOSPC || error_number == EDQUOT; }

Result<void> make_private_folder(const std::string& folder) {
  std::error_code ignored;
  if (std::filesystem::is_directory(folder, ignored)) return {};
  const std::string parent = parent_of(folder);
  if (parent != folder && !parent.empty()) {
    if (auto made = make_private_folder(parent); !made) return made;
  }
  if (::mkdir(folder.c_str(), 0700) == 0) return sync_name(folder);
  const int failure = errno;
  if (failure != EEXIST) return cannot_make(folder, failure);
  // Somebody else was faster; or it is something else.
  if (std::filesystem::is_directory(folder, ignored)) return {};
  return cannot_make(folder, "it exists and is no folder", failure);
}

Result<void> make_private_file(const std::string& file) {
  if (::access(file.c_str(), F_OK) == 0) return {};
  // Under its name it appears only once our descriptor of it is closed.
  std::string scratch = file + ".XXXXXX";
  const int descriptor = ::mkostemp(scratch.data(), O_CLOEXEC);
  if (descriptor < 0) return cannot_make(file, errno);
  ::close(descriptor);
  const int failure = ::link(scratch.c_str(), file.c_str()) == 0 || errno == EEXIST ? 0 : errno;
  ::unlink(scratch.c_str());
  if (failure != 0) return cannot_make(file, failure);
  return sync_name(file);
}

}  // namespace serverledge
