#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "net/file_descriptor.hpp"

namespace serverledge {

/// A container's first process as this machine sees it, where the engine runs on it: tells at once that it
/// has ended, and what limits it reached, without asking the engine. Thread-safe.
class LocalProcess {
 public:
  /// Nothing if the process is not this container's here: another machine's, or out of our sight.
  static std::optional<LocalProcess> find(pid_t pid, const std::string& container_id);

  /// Whether it runs.
  bool alive() const noexcept;
  /// Kills it, and with it all that is in the container. Whether that was ours to do.
  bool kill() const noexcept;
  /// Whether it is ours to kill.
  bool may_kill() const noexcept;
  /// Waits for its end, so long at most; whether it has ended.
  bool wait_for_end(int milliseconds) const noexcept;

  /// Readable once it has ended.
  int end_fd() const noexcept { return pidfd_.get(); }

  /// How often something in it was killed because the memory limit was reached; 0 if that cannot be seen.
  std::int64_t oom_kills() const;
  /// How many forks were refused because the limit of processes was reached; 0 if that cannot be seen.
  std::int64_t refused_forks() const;
  /// Whether nothing more fits into its /tmp.
  bool tmp_is_full() const;

 private:
  explicit LocalProcess(FileDescriptor pidfd) : pidfd_(std::move(pidfd)) {}
  FileDescriptor pidfd_;
  FileDescriptor tmp_;
  std::string memory_file_;
  std::string pids_file_;
};

}  // namespace serverledge
