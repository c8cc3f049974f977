#include "cluster/private_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "net/file_descriptor.hpp"

namespace serverledge {
namespace {

Unexpected cannot(const char* what, const std::string& path, std::string_view why, int error_number) {
  return Unexpected(is_no_space(error_number) ? ErrorCode::kDiskFull : ErrorCode::kUnavailable,
                    fmt::format("cannot {} {}: {}", what, path, why));
}
Unexpected cannot_make(const std::string& path, int error_number) {
  return cannot("make", path, std::generic_category().message(error_number), error_number);
}
Unexpected cannot_write(const std::string& path, int error_number) {
  return cannot("write", path, std::generic_category().message(error_number), error_number);
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

/// A new file beside that one; `name` is its own.
FileDescriptor make_scratch(const std::string& file, std::string& name) {
  name = file + ".XXXXXX";
  return FileDescriptor(::mkostemp(name.data(), O_CLOEXEC));
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
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
  return cannot("make", folder, "it exists and is no folder", failure);
}

Result<void> make_private_file(const std::string& file) {
  if (::access(file.c_str(), F_OK) == 0) return {};
  // Under its name it appears only once our descriptor of it is closed.
  std::string scratch;
  if (!make_scratch(file, scratch).valid()) return cannot_make(file, errno);
  const int failure = ::link(scratch.c_str(), file.c_str()) == 0 || errno == EEXIST ? 0 : errno;
  ::unlink(scratch.c_str());
  if (failure != 0) return cannot_make(file, failure);
  return sync_name(file);
}

Result<void> replace_private_file(const std::string& file, std::string_view text) {
  std::string scratch;
  const FileDescriptor made = make_scratch(file, scratch);
  if (!made.valid()) return cannot_write(file, errno);
  if (write_all(made.get(), text) && ::rename(scratch.c_str(), file.c_str()) == 0) return {};
  const int failure = errno;
  ::unlink(scratch.c_str());
  return cannot_write(file, failure);
}

}  // namespace serverledge
