#include "runtime/lock_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace serverledge {

LockFile& LockFile::operator=(LockFile&& other) noexcept {
  if (this != &other) {
    release();
    path_ = std::move(other.path_);
    file_ = std::move(other.file_);
  }
  return *this;
}

Result<std::optional<LockFile>> LockFile::try_lock(const std::string& path) {
  for (;;) {
    FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid()) {
      return Unexpected(ErrorCode::kUnavailable,
                        fmt::format("cannot open {}: {}", path, std::strerror(errno)));
    }
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      return std::optional<LockFile>();
    }
    // Who held it before may have removed the name after we opened it: then this lock guards nothing.
    struct stat held {
    }, named{};
    if (::fstat(file.get(), &held) == 0 && ::stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
        held.st_dev == named.st_dev) {
      return std::optional<LockFile>(LockFile(path, std::move(file)));
    }
  }
}

void LockFile::release() noexcept {
  if (!file_.valid()) return;
  ::unlink(path_.c_str());
  file_.reset();
}

}  // namespace serverledge
