#include "private_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "net/file_descriptor.hpp"

namespace serverledge {
namespace {

Unexpected failed(const char* what, const std::string& path) {
  return Unexpected(ErrorCode::kUnavailable,
                    fmt::format("cannot {} {}: {}", what, path, ::strerrordesc_np(errno)));
}

}  // namespace

Result<PrivateFolder> PrivateFolder::make(const std::string& parent) {
  std::string path = parent + "/serverledge-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return failed("make a folder in", parent);
  return PrivateFolder(std::move(path));
}

PrivateFolder::PrivateFolder(PrivateFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}

PrivateFolder::~PrivateFolder() {
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Result<void> PrivateFolder::write(std::string_view name, std::string_view bytes) const {
  const std::string path = file(name);
  const FileDescriptor fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return failed("make", path);
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed("write", path);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<std::string> PrivateFolder::read(std::string_view name, std::size_t most) const {
  const std::string path = file(name);
  const FileDescriptor fd(
      ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a FIFO must not hold us up
  if (!fd.valid() && errno == ENOENT) return std::string();
  struct stat status {};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0) return failed("read", path);
  if (!S_ISREG(status.st_mode)) return Unexpected(ErrorCode::kInvalid, "it is no regular file");
  std::string bytes;
  while (bytes.size() <= most) {
    const std::size_t had = bytes.size();
    const std::size_t left =
        static_cast<std::size_t>(status.st_size) > had ? static_cast<std::size_t>(status.st_size) - had : 0;
    bytes.resize(had + std::min(left + 1, most + 1 - had));
    const ssize_t got = ::read(fd.get(), bytes.data() + had, bytes.size() - had);
    bytes.resize(had + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("read", path);
    if (got == 0) return bytes;
  }
  return Unexpected(ErrorCode::kTooLarge, fmt::format("it is over the limit of {} bytes", most));
}

}  // namespace serverledge
