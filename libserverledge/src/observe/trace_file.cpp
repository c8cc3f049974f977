#include "observe/trace_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

namespace serverledge {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

}  // namespace

TraceFile::TraceFile(std::string path, std::uint64_t size_max)
    : path_(std::move(path)), size_max_(size_max) {}

TraceFile::~TraceFile() { close(); }

void TraceFile::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<void> TraceFile::open() {
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0600);
  struct stat status {};
  if (fd_ < 0 || ::fstat(fd_, &status) != 0) {
    return Unexpected(ErrorCode::kInvalid, "cannot open " + path_ + " for writing: " + reason(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    close();
    return Unexpected(ErrorCode::kInvalid, path_ + " is not a file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
  return {};
}

Result<void> TraceFile::rotate() {
  close();
  if (::rename(path_.c_str(), (path_ + ".1").c_str()) != 0 && errno != ENOENT) {
    return Unexpected(ErrorCode::kUnavailable, "cannot rename " + path_ + ": " + reason(errno));
  }
  return open();
}

Result<void> TraceFile::append(std::string_view lines) {
  if (fd_ < 0 || (size_ > 0 && size_ + lines.size() > size_max_)) {
    if (Result<void> anew = fd_ < 0 ? open() : rotate(); !anew) return anew;
  }
  const std::uint64_t begin = size_;
  while (!lines.empty()) {
    const ssize_t written = ::write(fd_, lines.data(), lines.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int error = errno;
      // Of half a line nothing is of use.
      if (::ftruncate(fd_, static_cast<off_t>(begin)) == 0) size_ = begin;
      const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
      return Unexpected(full ? ErrorCode::kDiskFull : ErrorCode::kUnavailable,
                        "cannot write " + path_ + ": " + reason(error));
    }
    lines.remove_prefix(static_cast<std::size_t>(written));
    size_ += static_cast<std::uint64_t>(written);
  }
  return {};
}

}  // namespace serverledge
