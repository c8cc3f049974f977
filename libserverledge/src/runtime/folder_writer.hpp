#pragma once

#include <string>
#include <string_view>

#include "net/file_descriptor.hpp"
#include "runtime/archive_reader.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// Writes entries below one folder, and cannot write anywhere else: every name is resolved by the kernel
/// beneath the folder, without following a link. Files get 0644 or 0755, folders 0755, whatever the umask.
/// Confined to one thread. Errors: kDiskFull without space, kInvalid for a name that the file system does not
/// take, kUnavailable otherwise.
class FolderWriter {
 public:
  /// Opens an existing folder.
  static Result<FolderWriter> open(const std::string& folder);

  /// Makes a folder and those above it; one that is there already is fine.
  Result<void> make_folder(const std::string& path);
  Result<void> make_symlink(const std::string& path, const std::string& target);
  /// `target` is a file that was written before.
  Result<void> make_hard_link(const std::string& path, const std::string& target);

  /// A file that is being written: replaces what is there but folders.
  class File {
   public:
    Result<void> write(const ArchiveBlock& block);
    /// Sets length, mode and time.
    Result<void> finish(const ArchiveEntry& entry);

   private:
    friend class FolderWriter;
    explicit File(FileDescriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
    FileDescriptor fd_;
    std::string path_;
  };
  Result<File> make_file(const std::string& path);

  /// Puts all that was written on the disk.
  Result<void> flush();

 private:
  explicit FolderWriter(FileDescriptor root) : root_(std::move(root)) {}
  /// The folder that holds `path`, made if missing, and the name in it.
  struct Place {
    FileDescriptor folder;
    std::string name;
  };
  Result<Place> place(const std::string& path);
  FileDescriptor open_below(const std::string& path, int flags, unsigned mode = 0) const;

  FileDescriptor root_;
};

/// Removes a folder and all that is in it, following no link. Whether it is gone.
bool remove_folder(const std::string& path);

}  // namespace serverledge
