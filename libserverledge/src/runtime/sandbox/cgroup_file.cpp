#include "runtime/sandbox/cgroup_file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <memory>
#include <thread>

#include "net/file_descriptor.hpp"
#include "serverledge/core/clock.hpp"

namespace serverledge {
namespace {

// A busy machine takes its time to let go of what was killed.
constexpr Duration kPatience = std::chrono::seconds(5);

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// Pauses of 1, 2, 4 ... 16 ms until the patience is used up.
class Retry {
 public:
  bool again() {
    if (system_clock().now() >= end_) return false;
    std::this_thread::sleep_for(pause_);
    pause_ = std::min(pause_ * 2, Duration(std::chrono::milliseconds(16)));
    return true;
  }

 private:
  TimePoint end_ = later(system_clock().now(), kPatience);
  Duration pause_ = std::chrono::milliseconds(1);
};

std::vector<pid_t> processes(const std::string& path) {
  std::vector<pid_t> pids;
  const std::string text = read_control(path + "/cgroup.procs");
  const char* at = text.data();
  const char* end = at + text.size();
  while (at < end) {
    pid_t pid = 0;
    const auto [next, error] = std::from_chars(at, end, pid);
    if (error != std::errc()) break;
    // 0 is a process of a PID namespace that we cannot see, and would mean our own group to kill().
    if (pid > 0 && pid != ::getpid()) pids.push_back(pid);
    at = next + 1;
  }
  return pids;
}

// A number may have passed to another process since it was read: only one that is still listed after it has
// been pinned by a pidfd is killed.
void kill_listed(const std::string& path, const std::vector<pid_t>& pids) {
  std::vector<std::pair<pid_t, FileDescriptor>> pinned;
  for (const pid_t pid : pids) {
    FileDescriptor fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (fd.valid()) pinned.emplace_back(pid, std::move(fd));
  }
  const std::vector<pid_t> still = processes(path);
  for (const auto& [pid, fd] : pinned) {
    if (std::find(still.begin(), still.end(), pid) != still.end()) {
      ::syscall(SYS_pidfd_send_signal, fd.get(), SIGKILL, nullptr, 0);
    }
  }
}

bool kill_one(const std::string& path) {
  if (write_control(path + "/cgroup.kill", "1") != 0) {
    write_control(path + "/pids.max", "0");  // what is forking gets no further
  }
  Retry retry;
  do {
    const std::vector<pid_t> pids = processes(path);
    if (pids.empty()) return true;
    kill_listed(path, pids);
  } while (retry.again());
  return false;
}

}  // namespace

std::string read_control(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> chunk{};
  while (file.valid()) {
    const ssize_t got = ::read(file.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  return text;
}

int write_control(const std::string& path, std::string_view value) {
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return errno;
  return ::write(file.get(), value.data(), value.size()) < 0 ? errno : 0;
}

long long control_field(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.size() <= key.size() || !line.starts_with(key) || line[key.size()] != ' ') continue;
    long long value = 0;
    const std::string_view digits = line.substr(key.size() + 1);
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
  }
  return 0;
}

std::vector<std::string> child_cgroups(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(path.c_str()));
  while (directory) {
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.push_back(name);
  }
  return names;
}

bool kill_cgroup(const std::string& path) {
  bool empty = kill_one(path);
  for (const std::string& child : child_cgroups(path)) empty = kill_cgroup(path + '/' + child) && empty;
  return empty;
}

bool remove_cgroup(const std::string& path) {
  for (const std::string& child : child_cgroups(path)) remove_cgroup(path + '/' + child);
  Retry retry;
  do {
    if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return true;
    if (errno != EBUSY) return false;
  } while (retry.again());
  return false;
}

}  // namespace serverledge
