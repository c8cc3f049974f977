#include "runtime/folder_writer.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace serverledge {
namespace {

Unexpected failed(const std::string& what, const std::string& path, int error) {
  if (error == ENOSPC || error == EDQUOT) {
    return {ErrorCode::kDiskFull,
            fmt::format("no space left to unpack the code: {} \"{:.200}\"", what, path)};
  }
  const bool name = error == ENAMETOOLONG || error == EILSEQ || error == EINVAL;
  return {name ? ErrorCode::kInvalid : ErrorCode::kUnavailable,
          fmt::format("cannot unpack the code: {} \"{:.200}\": {}", what, path, std::strerror(error))};
}

}  // namespace

Result<FolderWriter> FolderWriter::open(const std::string& folder) {
  FileDescriptor root(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!root.valid()) return failed("open", folder, errno);
  return FolderWriter(std::move(root));
}

FileDescriptor FolderWriter::open_below(const std::string& path, int flags, unsigned mode) const {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return FileDescriptor(
      static_cast<int>(::syscall(SYS_openat2, root_.get(), path.c_str(), &how, sizeof(how))));
}

Result<FolderWriter::Place> FolderWriter::place(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash != std::string::npos) {
    if (Result<void> made = make_folder(path.substr(0, slash)); !made) return Unexpected(made.error());
  }
  FileDescriptor folder =
      open_below(slash == std::string::npos ? "." : path.substr(0, slash), O_PATH | O_DIRECTORY);
  if (!folder.valid()) return failed("open the folder of", path, errno);
  return Place{std::move(folder), slash == std::string::npos ? path : path.substr(slash + 1)};
}

Result<void> FolderWriter::make_folder(const std::string& path) {
  if (open_below(path, O_PATH | O_DIRECTORY).valid()) return {};
  const Result<Place> at = place(path);
  if (!at) return Unexpected(at.error());
  if (::mkdirat(at->folder.get(), at->name.c_str(), 0755) != 0) return failed("make the folder", path, errno);
  const FileDescriptor made = open_below(path, O_RDONLY | O_DIRECTORY);
  if (!made.valid() || ::fchmod(made.get(), 0755) != 0) return failed("make the folder", path, errno);
  return {};
}

Result<void> FolderWriter::make_symlink(const std::string& path, const std::string& target) {
  const Result<Place> at = place(path);
  if (!at) return Unexpected(at.error());
  ::unlinkat(at->folder.get(), at->name.c_str(), 0);
  if (::symlinkat(target.c_str(), at->folder.get(), at->name.c_str()) != 0)
    return failed("link", path, errno);
  return {};
}

Result<void> FolderWriter::make_hard_link(const std::string& path, const std::string& target) {
  if (path == target) return {};
  const Result<Place> from = place(target);
  const Result<Place> at = place(path);
  if (!from) return Unexpected(from.error());
  if (!at) return Unexpected(at.error());
  ::unlinkat(at->folder.get(), at->name.c_str(), 0);
  if (::linkat(from->folder.get(), from->name.c_str(), at->folder.get(), at->name.c_str(), 0) != 0) {
    return failed("link", path, errno);
  }
  return {};
}

Result<FolderWriter::File> FolderWriter::make_file(const std::string& path) {
  const Result<Place> at = place(path);
  if (!at) return Unexpected(at.error());
  ::unlinkat(at->folder.get(), at->name.c_str(), 0);
  FileDescriptor fd = open_below(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!fd.valid()) return failed("write", path, errno);
  return File(std::move(fd), path);
}

Result<void> FolderWriter::File::write(const ArchiveBlock& block) {
  std::string_view rest = block.bytes;
  auto offset = static_cast<off_t>(block.offset);
  while (!rest.empty()) {
    const ssize_t written = ::pwrite(fd_.get(), rest.data(), rest.size(), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed("write", path_, errno);
    rest.remove_prefix(static_cast<std::size_t>(written));
    offset += written;
  }
  return {};
}

Result<void> FolderWriter::File::finish(const ArchiveEntry& entry) {
  // Python takes a compiled module for current only if the source has the time that it was compiled from.
  const std::timespec times[2] = {entry.modified, entry.modified};
  if (::ftruncate(fd_.get(), static_cast<off_t>(entry.size)) != 0 ||
      ::fchmod(fd_.get(), entry.executable ? 0755 : 0644) != 0) {
    return failed("write", path_, errno);
  }
  ::futimens(fd_.get(), times);  // a time that the file system does not take is no reason to refuse
  return {};
}

Result<void> FolderWriter::flush() {
  const FileDescriptor folder = open_below(".", O_RDONLY | O_DIRECTORY);
  if (!folder.valid() || ::syncfs(folder.get()) != 0) return failed("flush", ".", errno);
  return {};
}

bool remove_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  return !error;
}

}  // namespace serverledge
