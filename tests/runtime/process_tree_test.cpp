#include "runtime/sandbox/process_tree.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <ctime>
#include <vector>

#include "support/bare_fork.hpp"

namespace serverledge::test {
namespace {

/// A child with a child that has touched that much memory; both sleep.
pid_t start_tree(std::size_t bytes) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t pid = bare_fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    if (bare_fork() == 0) {
      std::vector<char> memory(bytes);
      std::memset(memory.data(), 1, memory.size());
      if (::write(ends[1], memory.data(), 1) != 1) ::_exit(1);
      for (;;) ::pause();
    }
    for (;;) ::pause();
  }
  char ready = 0;
  REQUIRE(::read(ends[0], &ready, 1) == 1);
  ::close(ends[0]);
  ::close(ends[1]);
  return pid;
}

TEST_CASE("what a process uses is counted with its descendants", "[process_tree]") {
  constexpr std::size_t kBytes = std::size_t{64} << 20U;
  const pid_t pid = start_tree(kBytes);
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  REQUIRE(pidfd >= 0);
  CHECK(pid_of(pidfd) == pid);
  const TreeUsage usage = usage_of_tree(pid);
  CHECK(usage.processes.size() == 2);
  CHECK(usage.tasks == 2);
  CHECK(usage.memory_bytes >= static_cast<std::int64_t>(kBytes));
  for (const pid_t process : usage.processes) ::kill(process, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  CHECK(pid_of(pidfd) <= 0);
  CHECK(usage_of_tree(pid).memory_bytes == 0);
  ::close(pidfd);
}

TEST_CASE("time on the processor is read as what the kernel counts", "[process_tree]") {
  const Duration before = usage_of_tree(::getpid()).cpu_time;
  const std::clock_t begin = std::clock();
  volatile unsigned work = 0;
  while (std::clock() - begin < CLOCKS_PER_SEC / 4) work = work + 1;
  const Duration used = usage_of_tree(::getpid()).cpu_time - before;
  CHECK(seconds(used) >= 0.2);
  CHECK(seconds(used) < 2);
}

}  // namespace
}  // namespace serverledge::test
