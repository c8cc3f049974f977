#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "net/file_descriptor.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// What one instance may use.
struct CgroupLimits {
  std::int64_t memory_bytes = 0;  ///< 0: no limit. Swap is never given
  double cpus = 0;                ///< cores; 0: no limit
  std::int64_t processes = 0;     ///< processes and threads; 0: no limit
};

/// Folders by what is limited there; empty where that cannot be limited. Under v2 all are the same one.
struct CgroupFolders {
  std::string memory;
  std::string cpu;
  std::string pids;
  std::string processes;  ///< v2 only: the folder, whatever controllers it has
  /// Each folder once.
  std::vector<std::string> all() const;
};

/// The control group of one instance: a folder per hierarchy (three under v1, one under v2, none where the
/// machine gives us no right to it: then every member does nothing). The destructor kills what is inside and
/// removes the folders. Move-only. Thread-compatible; `oom_kills` and `usage` may run beside anything but the
/// destructor.
class Cgroup {
 public:
  Cgroup() = default;
  Cgroup(Cgroup&& other) noexcept : folders_(std::exchange(other.folders_, {})), unified_(other.unified_) {}
  Cgroup& operator=(Cgroup&& other) noexcept;
  ~Cgroup() { remove(); }

  /// Sets the limits, those that the controllers at hand can. kUnsupported naming the file that refused.
  Result<void> limit(const CgroupLimits& limits);
  /// Moves a process in, with all its threads.
  Result<void> add(pid_t pid);
  /// Descriptors (close-on-exec) for entering without waiting for a grace period of the kernel's RCU, some
  /// 10 ms, as moving a process by `cgroup.procs` does. `is_unified`: that of the folder, for clone3 with
  /// CLONE_INTO_CGROUP; else those of `tasks`, one per hierarchy, for a child with one thread that writes "0"
  /// to all of them.
  Result<std::vector<FileDescriptor>> open_entrances() const;
  bool is_unified() const { return unified_ && !folders_.processes.empty(); }

  /// Grows when the kernel kills here because the memory limit was reached: by one or more each time.
  std::int64_t oom_kills() const;
  /// How many forks were refused here because the limit of processes was reached.
  std::int64_t refused_forks() const;
  struct Usage {
    std::int64_t memory_bytes = 0;
    std::int64_t processes = 0;
  };
  Usage usage() const;

  /// Kills all processes inside, also while they fork; two seconds at most. Whether none is left.
  bool kill() noexcept;
  /// Kills all processes and removes the folders; four seconds at most. Whether they are gone. Idempotent.
  bool remove() noexcept;

 private:
  friend class CgroupTree;
  Cgroup(CgroupFolders folders, bool unified) : folders_(std::move(folders)), unified_(unified) {}

  CgroupFolders folders_;
  bool unified_ = false;
};

}  // namespace serverledge
