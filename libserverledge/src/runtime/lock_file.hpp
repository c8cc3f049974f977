#pragma once

#include <optional>
#include <string>
#include <utility>

#include "net/file_descriptor.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// A file that is locked as long as this object lives, or any process that inherited its descriptor; the
/// kernel lets go for those that die. The destructor removes the file. Move-only. Thread-compatible.
class LockFile {
 public:
  LockFile() = default;
  LockFile(LockFile&& other) noexcept = default;
  LockFile& operator=(LockFile&& other) noexcept;
  ~LockFile() { release(); }

  /// Locks the file at `path`, made if it is not there; nullopt if somebody else holds it. kUnavailable if it
  /// cannot be opened.
  static Result<std::optional<LockFile>> try_lock(const std::string& path);

  int fd() const { return file_.get(); }
  const std::string& path() const { return path_; }
  void release() noexcept;

 private:
  LockFile(std::string path, FileDescriptor file) : path_(std::move(path)), file_(std::move(file)) {}

  std::string path_;
  FileDescriptor file_;
};

}  // namespace serverledge
