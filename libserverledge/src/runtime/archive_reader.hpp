#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "serverledge/core/result.hpp"

struct archive;

namespace serverledge {

/// What an archive says of one entry. Nothing of it can be trusted.
struct ArchiveEntry {
  enum class Kind { kFile, kFolder, kSymlink, kHardLink, kOther };
  Kind kind = Kind::kOther;
  std::string path;
  std::string target;  ///< of a link
  std::uint64_t size = 0;
  bool executable = false;
  std::timespec modified{};
};

/// A piece of a file's content: bytes at a place in it. Between pieces there are zeros.
struct ArchiveBlock {
  std::string_view bytes;
  std::uint64_t offset = 0;
};

/// Reads a tar, plain or gzip, from memory, entry by entry: nothing is unpacked before it is asked for. The
/// only place that sees libarchive. Confined to one thread.
class ArchiveReader {
 public:
  /// `bytes` must outlive the reader.
  explicit ArchiveReader(std::string_view bytes);
  ~ArchiveReader();
  ArchiveReader(const ArchiveReader&) = delete;
  ArchiveReader& operator=(const ArchiveReader&) = delete;

  /// Whether the bytes are an archive at all; only after `next` was called once.
  bool is_archive() const { return is_archive_; }
  /// The next entry; nullopt at the end. kInvalid with the reader's words if the archive is damaged.
  Result<std::optional<ArchiveEntry>> next();
  /// The next piece of the current entry's content; nullopt at its end.
  Result<std::optional<ArchiveBlock>> read();

 private:
  struct Free {
    void operator()(archive* reader) const;
  };
  std::unique_ptr<archive, Free> archive_;
  bool is_archive_ = true;
};

}  // namespace serverledge
