#pragma once

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace serverledge::test {

/// Like fork(), for tests that count tasks: ThreadSanitizer starts a thread of its own in what fork() makes.
inline pid_t bare_fork() {
  return static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
}

}  // namespace serverledge::test
