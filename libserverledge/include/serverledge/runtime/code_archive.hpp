#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/container_runtime.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

struct CodeArchiveOptions {
  std::string folder = {};                                 ///< where unpacked code is kept; made if missing
  std::uint64_t packed_max = std::uint64_t{64} << 20U;     ///< bytes as sent
  std::uint64_t unpacked_max = std::uint64_t{512} << 20U;  ///< bytes unpacked, every entry counted
  std::uint64_t entries_max = 50'000;                      ///< files, folders and links
  Duration unused_for = std::chrono::hours(1);  ///< `collect` spares what was asked for more recently
};

/// The CodeArchive of a node: reads tar archives (plain or gzip) and single source files, and keeps each
/// unpacked in a folder of its own, named by its digest (and, of a single file, a mark of its name):
/// read-only by agreement, readable by every user, with the names, times and execute bits of the archive. A
/// single file becomes the module that the handler names
/// ("hello.handler": hello.py).
///
/// Nothing is ever written outside that folder, and nothing is kept of an archive that is refused: absolute
/// names, "..", names through links, links that lead out, devices, sockets and fifos, more than the limits.
/// What is unpacked survives a crash whole or not at all. The folder belongs to one node at a time; what an
/// earlier one left half done is removed. Thread-safe; one digest is unpacked by one thread while others that
/// want it wait.
///
/// kDiskFull or kUnavailable naming the folder if it cannot be made.
Result<std::unique_ptr<CodeArchive>> make_code_archive(CodeArchiveOptions options, Clock& clock);

/// The folder of a function's code, by its `code_digest` and handler, if it is unpacked already.
std::optional<std::string> unpacked_code(const CodeArchive& archive, const Function& function);

}  // namespace serverledge
