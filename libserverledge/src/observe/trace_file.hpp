#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// A file of lines that is begun anew when it has grown too long; the one before is kept as "<path>.1".
/// Confined to one thread.
class TraceFile {
 public:
  TraceFile(std::string path, std::uint64_t size_max);
  ~TraceFile();
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;

  /// Opens it for appending. kInvalid with the reason.
  Result<void> open();
  /// Appends whole lines, or nothing of them. kDiskFull, kUnavailable.
  Result<void> append(std::string_view lines);

 private:
  Result<void> rotate();
  void close();

  const std::string path_;
  const std::uint64_t size_max_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace serverledge
