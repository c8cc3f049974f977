#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "serverledge/core/clock.hpp"

namespace serverledge {

/// What a process and all that descend from it use together, as /proc has it.
struct TreeUsage {
  std::int64_t memory_bytes = 0;  ///< resident and theirs alone: what is mapped from files is not counted
  std::int64_t tasks = 0;         ///< processes and threads
  Duration cpu_time{0};           ///< of those that live
  std::vector<pid_t> processes;
};

/// Reads it; all zero if the process is gone. Descendants that come or go meanwhile may be missed.
TreeUsage usage_of_tree(pid_t root);

/// The process that a descriptor of one stands for; -1 if it is gone.
pid_t pid_of(int pidfd);

}  // namespace serverledge
