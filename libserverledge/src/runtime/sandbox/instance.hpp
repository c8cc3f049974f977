#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "net/file_descriptor.hpp"
#include "runtime/sandbox/cgroup_tree.hpp"
#include "runtime/sandbox/launch_channel.hpp"
#include "runtime/sandbox/launcher.hpp"
#include "runtime/sandbox/uid_block.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

class Instance;

/// What the instances of one runtime are made of. Outlives them: each holds a share. Thread-safe.
class Machine {
 public:
  Machine(LauncherOptions launcher_options, CgroupTree tree, UidBlock block, std::string sockets)
      : launcher(std::move(launcher_options)),
        cgroups(std::move(tree)),
        uids(std::move(block)),
        folder(std::move(sockets)) {}

  Launcher launcher;
  const CgroupTree cgroups;
  UidBlock uids;
  const std::string folder;  ///< for sockets; the node's alone

  std::uint64_t next_number() { return number_.fetch_add(1, std::memory_order_relaxed); }
  void add(Instance& instance);
  void remove(Instance& instance) noexcept;
  /// Calls `visit` for each living instance, under the lock that keeps them alive: it must not end one.
  template <typename Visit>
  void for_each(Visit visit) {
    const std::scoped_lock guard(mutex_);
    for (Instance* instance : instances_) visit(*instance);
  }

 private:
  std::atomic<std::uint64_t> number_ = 0;
  std::mutex mutex_;
  std::set<Instance*> instances_;
};

/// What to start.
struct InstancePlan {
  sl_operation operation = SL_PYTHON;
  std::string program;         ///< SL_NODEJS: the interpreter
  std::int64_t processes = 0;  ///< that it may have until it is specialised
  std::uint64_t tmp_bytes = 0;
  bool host_network = false;
  bool unsafe = false;
};

/// How an instance ended.
struct Death {
  enum class Kind {
    kUnknown,  ///< it has not, as far as can be seen
    kEnded,    ///< its worker did: `status` as waitpid has it
    kKilled,   ///< as a whole
  };
  Kind kind = Kind::kUnknown;
  int status = 0;
};

/// A sandbox with one worker in it, from its start to the last of what it held: without code at first, then
/// specialised for one function. Thread-safe.
class Instance {
 public:
  /// Starts one and waits until it is confined. kUnsupported, kUnavailable, kNoResources (user ids),
  /// kDeadline.
  static Result<std::unique_ptr<Instance>> start(const std::shared_ptr<Machine>& machine,
                                                 const InstancePlan& plan, TimePoint deadline);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  /// Where its worker listens.
  const std::string& socket_path() const { return socket_path_; }
  /// Readable once it has ended; then `death` says how.
  int death_fd() const { return events_.fd(); }
  bool alive() const noexcept;
  /// How it ended, if it does within `patience`.
  Death death(Duration patience);
  /// Bits of what it lacks (`sl_event::missing`).
  std::uint32_t missing() const { return missing_; }

  /// Mounts code into one that was started without, and sets its limits. kUnavailable, kUnsupported,
  /// kDeadline.
  Result<void> specialise(const std::string& code, const CgroupLimits& limits, TimePoint deadline);

  /// How often something in it was killed because the memory limit was reached, so far.
  std::int64_t oom_kills();
  /// Whether it reached its limit of processes since this was asked last.
  bool reached_process_limit();
  /// Whether nothing more fits into its /tmp.
  bool tmp_is_full();

  /// Stands in for the control group where there is none: kills what is over its memory, lowers the priority
  /// of what takes more than its cores. Whether it did either. For about once a second.
  bool watch(TimePoint now);

  /// Kills everything in it and gives all back; returns when that is done. Idempotent. A start on its way
  /// fails.
  void release() noexcept;

 private:
  Instance(std::shared_ptr<Machine> machine, std::uint32_t uid, Cgroup cgroup);
  static Result<std::unique_ptr<Instance>> start_once(const std::shared_ptr<Machine>& machine,
                                                      const InstancePlan& plan, TimePoint deadline);
  Result<void> send(const InstancePlan& plan, TimePoint deadline);
  Result<std::vector<FileDescriptor>> open_entrances();
  Result<void> await_started(TimePoint deadline);
  bool kill_all() noexcept;
  std::int64_t tmp_bytes() const;
  bool watch_memory(std::int64_t used);
  bool watch_cpu(TimePoint now, Duration cpu_time, const std::vector<pid_t>& processes);

  const std::shared_ptr<Machine> machine_;
  const std::uint32_t uid_;
  std::string socket_path_;
  LaunchChannel events_;
  FileDescriptor mounts_;  // its mount namespace
  std::uint32_t missing_ = 0;

  std::mutex mutex_;  // over what follows
  Cgroup cgroup_;
  FileDescriptor pidfd_;
  FileDescriptor tmp_;
  std::optional<Death> death_;
  CgroupLimits limits_;
  std::int64_t refused_forks_ = 0;
  bool over_memory_ = false;
  bool slowed_ = false;
  TimePoint watched_at_{};
  Duration watched_cpu_{0};
  std::int64_t last_oom_kills_ = 0;
  bool released_ = false;
};

}  // namespace serverledge
