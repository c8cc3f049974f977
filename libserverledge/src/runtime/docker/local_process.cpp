#include "runtime/docker/local_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "runtime/sandbox/cgroup_file.hpp"

namespace serverledge {
namespace {

constexpr const char* kCgroups = "/sys/fs/cgroup";

/// The file of a controller, out of the lines "3:memory:/docker/<id>" or "0::/docker/<id>" of
/// /proc/<pid>/cgroup; empty if it is not where such files usually are.
std::string control_file(std::string_view groups, std::string_view controller, const char* v1_name,
                         const char* v2_name) {
  while (!groups.empty()) {
    const std::string_view line = groups.substr(0, groups.find('\n'));
    groups.remove_prefix(std::min(groups.size(), line.size() + 1));
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view names = line.substr(first + 1, second - first - 1);
    const std::string_view path = line.substr(second + 1);
    std::string file;
    if (names == controller) file = fmt::format("{}/{}{}/{}", kCgroups, names, path, v1_name);
    if (names.empty()) file = fmt::format("{}{}/{}", kCgroups, path, v2_name);
    if (!file.empty() && ::access(file.c_str(), R_OK) == 0) return file;
  }
  return {};
}

}  // namespace

std::optional<LocalProcess> LocalProcess::find(pid_t pid, const std::string& container_id) {
  if (pid <= 0 || container_id.size() < 12) return std::nullopt;
  FileDescriptor pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const std::string folder = fmt::format("/proc/{}", pid);
  const std::string groups = read_control(folder + "/cgroup");
  // Engines name the groups of a container by its id: another process of that number has other groups.
  if (!pidfd.valid() || groups.find(container_id) == std::string::npos) return std::nullopt;
  LocalProcess process(std::move(pidfd));
  process.memory_file_ = control_file(groups, "memory", "memory.oom_control", "memory.events");
  process.pids_file_ = control_file(groups, "pids", "pids.events", "pids.events");
  process.tmp_ =
      FileDescriptor(::open((folder + "/root/tmp").c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!process.alive()) return std::nullopt;
  return process;
}

bool LocalProcess::wait_for_end(int milliseconds) const noexcept {
  pollfd event{pidfd_.get(), POLLIN, 0};
  return ::poll(&event, 1, milliseconds) == 1;
}

bool LocalProcess::alive() const noexcept { return !wait_for_end(0); }

bool LocalProcess::kill() const noexcept {
  return ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0) == 0;
}

bool LocalProcess::may_kill() const noexcept {
  return ::syscall(SYS_pidfd_send_signal, pidfd_.get(), 0, nullptr, 0) == 0;
}

std::int64_t LocalProcess::oom_kills() const {
  return memory_file_.empty() ? 0 : control_field(read_control(memory_file_), "oom_kill");
}

std::int64_t LocalProcess::refused_forks() const {
  return pids_file_.empty() ? 0 : control_field(read_control(pids_file_), "max");
}

bool LocalProcess::tmp_is_full() const {
  struct statvfs state {};
  if (!tmp_.valid() || ::fstatvfs(tmp_.get(), &state) != 0) return false;
  return (state.f_blocks > 0 && state.f_bavail == 0) || (state.f_files > 0 && state.f_favail == 0);
}

}  // namespace serverledge
