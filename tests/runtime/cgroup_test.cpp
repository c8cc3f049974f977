#include "runtime/sandbox/cgroup.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/sandbox/cgroup_file.hpp"
#include "runtime/sandbox/cgroup_tree.hpp"
#include "support/bare_fork.hpp"
#include "support/skip.hpp"
#include "support/temporary_folder.hpp"

using namespace serverledge;
using test::bare_fork;
using test::skip_test;

namespace {

constexpr std::int64_t kMegabyte = 1 << 20;

// A name of its own for each test and process: tests run at once, and beside real nodes.
std::string unique_node(const std::string& name) { return "test-" + name + '-' + std::to_string(::getpid()); }

CgroupTree open_or_skip(const std::string& name) {
  const std::vector<std::string> missing = CgroupTree::open(unique_node(name)).missing();
  if (!missing.empty()) skip_test(missing.front());
  return CgroupTree::open(unique_node(name));
}

bool enter(const Cgroup& group, const FileDescriptor& entrance) {
  if (!group.is_unified()) return ::write(entrance.get(), "0", 1) == 1;
  const FileDescriptor file(::openat(entrance.get(), "cgroup.procs", O_WRONLY | O_CLOEXEC));
  return ::write(file.get(), "0", 1) == 1;
}

// A child that enters the group by the descriptors given, does something there and exits with its value.
// Returns when it is inside.
pid_t run_inside(const Cgroup& group, const std::function<int()>& work) {
  Result<std::vector<FileDescriptor>> entrances = group.open_entrances();
  REQUIRE(entrances);
  REQUIRE_FALSE(entrances->empty());
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const FileDescriptor entered(ends[0]);
  FileDescriptor tell(ends[1]);
  const pid_t pid = bare_fork();
  if (pid == 0) {
    for (const FileDescriptor& entrance : *entrances) {
      if (!enter(group, entrance)) ::_exit(99);
    }
    tell.reset();
    ::_exit(work());
  }
  tell.reset();
  char byte = 0;
  REQUIRE(::read(entered.get(), &byte, 1) == 0);
  return pid;
}

int wait_for(pid_t pid) {
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  return status;
}

// The group that a process is in, as the kernel says.
std::string folder_of(pid_t pid, const std::string& controller) {
  std::istringstream groups(read_control("/proc/" + std::to_string(pid) + "/cgroup"));
  for (std::string line; std::getline(groups, line);) {
    if (line.find("/serverledge/") == std::string::npos) continue;
    const std::string path = line.substr(line.find('/'));
    if (line.starts_with("0::")) return "/sys/fs/cgroup" + path;
    if (line.find(':' + controller + ':') != std::string::npos) return "/sys/fs/cgroup/" + controller + path;
  }
  return "";
}

int touch(std::int64_t bytes) {
  void* memory = ::mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  for (std::int64_t at = 0; at < bytes; at += 4096) static_cast<volatile char*>(memory)[at] = 1;
  return 0;
}

int forks_until_refused(int most) {
  for (int count = 0; count < most; ++count) {
    const pid_t pid = bare_fork();
    if (pid < 0) return count;
    if (pid == 0) {
      ::pause();
      ::_exit(0);
    }
  }
  return most;
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace

TEST_CASE("a process that takes more memory than its group may is killed, and the group says so",
          "[cgroup]") {
  const CgroupTree tree = open_or_skip("memory");
  Result<Cgroup> group = tree.create("one", {32 * kMegabyte, 0, 16});
  REQUIRE(group);
  CHECK(wait_for(run_inside(*group, [] { return touch(8 * kMegabyte); })) == 0);
  CHECK(group->oom_kills() == 0);
  const int status = wait_for(run_inside(*group, [] { return touch(128 * kMegabyte); }));
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGKILL);
  CHECK(group->oom_kills() >= 1);  // v2 counts the process and its group
}

TEST_CASE("a group refuses more processes than its limit", "[cgroup]") {
  const CgroupTree tree = open_or_skip("pids");
  Result<Cgroup> group = tree.create("one", {64 * kMegabyte, 0, 8});
  REQUIRE(group);
  const int status = wait_for(run_inside(*group, [] { return forks_until_refused(50); }));
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
  CHECK(group->usage().processes == 7);
  CHECK(group->kill());
}

TEST_CASE("a fork bomb is killed as a whole and its group removed", "[cgroup]") {
  const CgroupTree tree = open_or_skip("bomb");
  Result<Cgroup> group = tree.create("one", {256 * kMegabyte, 1, 64});
  REQUIRE(group);
  const pid_t pid = run_inside(*group, [] {
    while (true) {
      if (bare_fork() < 0 && ::getppid() == 1)
        ::_exit(0);  // orphans make room for others: the bomb keeps moving
    }
    return 0;
  });
  CHECK(group->remove());
  CHECK(WIFSIGNALED(wait_for(pid)));
  CHECK(tree.create("one", {}));  // its name is free again
}

TEST_CASE("a demand on the processor becomes a quota, and none becomes no limit", "[cgroup]") {
  const CgroupTree tree = open_or_skip("cpu");
  const auto quota = [](const Result<Cgroup>& group) {
    const pid_t pid = run_inside(*group, [] { return ::pause(); });
    const std::string folder = folder_of(pid, "cpu");
    const std::string old = read_control(folder + "/cpu.cfs_quota_us");
    ::kill(pid, SIGKILL);
    wait_for(pid);
    return old.empty() ? read_control(folder + "/cpu.max") : old;
  };
  const Result<Cgroup> half = tree.create("half", {0, 0.5, 0});
  const Result<Cgroup> tiny = tree.create("tiny", {0, 0.001, 0});
  const Result<Cgroup> free = tree.create("free", {0, 0, 0});
  REQUIRE((half && tiny && free));
  CHECK_THAT(quota(half), Catch::StartsWith("25000"));
  CHECK_THAT(quota(tiny), Catch::StartsWith("1000"));
  CHECK_THAT(quota(free), Catch::StartsWith("-1") || Catch::StartsWith("max"));
}

TEST_CASE("a running process can be moved into a group, and leaves it when the group is removed",
          "[cgroup]") {
  const CgroupTree tree = open_or_skip("add");
  Result<Cgroup> group = tree.create("one", {64 * kMegabyte, 0, 16});
  REQUIRE(group);
  const pid_t pid = bare_fork();
  if (pid == 0) {
    ::pause();
    ::_exit(0);
  }
  REQUIRE(group->add(pid));
  CHECK(group->usage().processes == 1);
  CHECK(group->remove());
  CHECK(WTERMSIG(wait_for(pid)) == SIGKILL);
  CHECK(group->remove());
}

TEST_CASE("a group that is dropped takes its processes and folders with it, and the node's last its folder",
          "[cgroup]") {
  std::string folder;
  pid_t pid = 0;
  {
    const CgroupTree tree = open_or_skip("drop");
    {
      Result<Cgroup> group = tree.create("one", {64 * kMegabyte, 0, 16});
      REQUIRE(group);
      Cgroup moved = std::move(*group);
      pid = run_inside(moved, [] { return ::pause(); });
      folder = folder_of(pid, "pids");
      CHECK_THAT(folder, Catch::EndsWith("/one"));
      CHECK(exists(folder));
    }
    CHECK(WTERMSIG(wait_for(pid)) == SIGKILL);
    CHECK_FALSE(exists(folder));
    folder.erase(folder.rfind('/'));
    CHECK(exists(folder));
  }
  CHECK_FALSE(exists(folder));
}

TEST_CASE("a name that is taken is an error and leaves the other's group alone", "[cgroup]") {
  const CgroupTree tree = open_or_skip("twice");
  Result<Cgroup> first = tree.create("one", {64 * kMegabyte, 0, 16});
  REQUIRE(first);
  const pid_t pid = run_inside(*first, [] { return ::pause(); });
  const Result<Cgroup> second = tree.create("one", {64 * kMegabyte, 0, 16});
  REQUIRE_FALSE(second);
  CHECK(second.error().code == ErrorCode::kUnsupported);
  CHECK(::kill(pid, 0) == 0);
  CHECK(first->remove());
  wait_for(pid);
}

TEST_CASE("what a dead node left behind is found and removed, its processes too", "[cgroup]") {
  const CgroupTree tree = open_or_skip("finder");
  const std::string dead = unique_node("dead");
  const pid_t pid = bare_fork();
  if (pid == 0) {  // a node that makes groups and dies without a word
    const CgroupTree theirs = CgroupTree::open(dead);
    Result<Cgroup> group = theirs.create("left", {64 * kMegabyte, 0, 16});
    if (!group || !group->add(::getpid())) ::_exit(1);
    if (bare_fork() == 0) ::pause();
    ::_exit(0);
  }
  REQUIRE(wait_for(pid) == 0);
  const std::vector<std::string> found = tree.nodes();
  CHECK(std::find(found.begin(), found.end(), dead) != found.end());
  CHECK(tree.remove_node(dead));
  const std::vector<std::string> rest = tree.nodes();
  CHECK(std::find(rest.begin(), rest.end(), dead) == rest.end());
}

TEST_CASE("a unified hierarchy without controllers still groups and kills, and names what it cannot limit",
          "[cgroup]") {
  if (::geteuid() != 0 || !exists("/sys/fs/cgroup/unified/cgroup.procs"))
    skip_test("no hybrid cgroups, or not root");
  const CgroupView view{"30 25 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n", "0::/\n"};
  const CgroupTree tree = CgroupTree::open(unique_node("unified"), view);
  CHECK(tree.missing().size() == 3);
  CHECK_FALSE(tree.limits_memory());
  Result<Cgroup> group = tree.create("one", {64 * kMegabyte, 1, 16});
  REQUIRE(group);
  const pid_t pid = run_inside(*group, [] {
    if (bare_fork() == 0) ::setsid();
    return ::pause();
  });
  CHECK(group->remove());
  CHECK(WTERMSIG(wait_for(pid)) == SIGKILL);
}

TEST_CASE("a process can be born in a group of a unified hierarchy", "[cgroup]") {
  if (::geteuid() != 0 || !exists("/sys/fs/cgroup/unified/cgroup.procs"))
    skip_test("no hybrid cgroups, or not root");
  const CgroupView view{"30 25 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n", "0::/\n"};
  const CgroupTree tree = CgroupTree::open(unique_node("birth"), view);
  Result<Cgroup> group = tree.create("one", {});
  REQUIRE(group);
  REQUIRE(group->is_unified());
  const Result<std::vector<FileDescriptor>> entrances = group->open_entrances();
  REQUIRE(entrances);
  REQUIRE(entrances->size() == 1);
  clone_args how{};
  how.flags = CLONE_INTO_CGROUP;
  how.exit_signal = SIGCHLD;
  how.cgroup = static_cast<std::uint64_t>(entrances->front().get());
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof(how)));
  if (pid == 0) {
    for (;;) ::syscall(SYS_pause);
  }
  REQUIRE(pid > 0);
  CHECK_THAT(read_control("/proc/" + std::to_string(pid) + "/cgroup"), Catch::Contains("/one"));
  CHECK(group->remove());
  CHECK(WTERMSIG(wait_for(pid)) == SIGKILL);
}

TEST_CASE("without a right to control groups everything works but limits nothing, and says why", "[cgroup]") {
  const CgroupView nothing{"22 1 0:21 / / rw - ext4 /dev/root rw\n", "0::/\n"};
  const CgroupTree tree = CgroupTree::open("node", nothing);
  CHECK(tree.missing().size() == 3);
  CHECK_THAT(tree.missing().front(), Catch::Contains("memory"));
  Result<Cgroup> group = tree.create("one", {64 * kMegabyte, 1, 16});
  REQUIRE(group);
  CHECK(group->open_entrances()->empty());
  CHECK(group->add(::getpid()));
  CHECK(group->oom_kills() == 0);
  CHECK(group->usage().memory_bytes == 0);
  CHECK(group->kill());
  CHECK(group->remove());
  CHECK(tree.nodes().empty());
}

TEST_CASE("a v2 machine that grants nothing names the folder and the ways on", "[cgroup]") {
  const CgroupView view{"30 25 0:26 / /proc rw,relatime - cgroup2 cgroup2 rw\n", "0::/user.slice\n"};
  const CgroupTree tree = CgroupTree::open("node", view);
  REQUIRE(tree.missing().size() == 3);
  CHECK_THAT(tree.missing().front(),
             Catch::Contains("/proc/serverledge/node") && Catch::Contains("Delegate=yes"));
}

TEST_CASE("a subtree that systemd delegated is used beside the leaf that the node sits in", "[cgroup]") {
  const CgroupView view{"30 25 0:26 / /proc rw,relatime - cgroup2 cgroup2 rw\n",
                        "0::/system.slice/x.service/node\n"};
  const CgroupTree tree = CgroupTree::open("node", view);
  REQUIRE_FALSE(tree.missing().empty());
  CHECK_THAT(tree.missing().front(), Catch::Contains("/proc/system.slice/x.service/serverledge/node"));
}

TEST_CASE("what a v2 group hands on is read word by word, to the end of the line", "[cgroup]") {
  // A plain folder in the place of the hierarchy: the requests to hand on land in the first word of the file.
  const test::TemporaryFolder hierarchy;
  std::filesystem::create_directories(hierarchy.path() / "serverledge/node");
  std::ofstream(hierarchy.path() / "serverledge/node/cgroup.subtree_control") << "#######  memory pids cpu\n";
  const CgroupView view{"30 25 0:26 / " + hierarchy.path().string() + " rw,relatime - cgroup2 cgroup2 rw\n",
                        "0::/\n"};
  const CgroupTree tree = CgroupTree::open("node", view);
  CHECK(tree.missing().empty());
  CHECK((tree.limits_memory() && tree.limits_cpu() && tree.limits_processes()));
}
