#include "runtime/sandbox/cgroup.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <utility>

#include "runtime/sandbox/cgroup_file.hpp"

namespace serverledge {
namespace {

constexpr std::int64_t kPeriod = 50000;  // microseconds, as in the contract
constexpr long long kLeastQuota = 1000;  // the kernel's own minimum

std::int64_t number(const std::string& text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

Result<void> set(const std::string& folder, const char* file, const std::string& value) {
  const std::string path = folder + '/' + file;
  if (const int error = write_control(path, value); error != 0) {
    return Unexpected(ErrorCode::kUnsupported,
                      fmt::format("cannot write \"{}\" to {}: {}", value, path, std::strerror(error)));
  }
  return {};
}

Result<void> limit_memory(const std::string& folder, bool unified, std::int64_t bytes) {
  const std::string value = std::to_string(bytes);
  if (!unified) {
    if (Result<void> done = set(folder, "memory.limit_in_bytes", value); !done) return done;
    write_control(folder + "/memory.memsw.limit_in_bytes", value);  // missing without swap accounting
    return {};
  }
  write_control(folder + "/memory.swap.max", "0");   // missing without swap
  write_control(folder + "/memory.oom.group", "1");  // an instance dies as a whole
  return set(folder, "memory.max", value);
}

Result<void> limit_cpu(const std::string& folder, bool unified, double cpus) {
  const long long quota = std::max(kLeastQuota, std::llround(cpus * static_cast<double>(kPeriod)));
  if (unified) return set(folder, "cpu.max", fmt::format("{} {}", quota, kPeriod));
  if (Result<void> done = set(folder, "cpu.cfs_period_us", std::to_string(kPeriod)); !done) return done;
  return set(folder, "cpu.cfs_quota_us", std::to_string(quota));
}

}  // namespace

std::vector<std::string> CgroupFolders::all() const {
  std::vector<std::string> distinct;
  for (const std::string* folder : {&processes, &memory, &cpu, &pids}) {
    if (!folder->empty() && std::find(distinct.begin(), distinct.end(), *folder) == distinct.end()) {
      distinct.push_back(*folder);
    }
  }
  return distinct;
}

Cgroup& Cgroup::operator=(Cgroup&& other) noexcept {
  if (this != &other) {
    remove();
    folders_ = std::exchange(other.folders_, {});
    unified_ = other.unified_;
  }
  return *this;
}

Result<void> Cgroup::limit(const CgroupLimits& limits) {
  if (!folders_.memory.empty() && limits.memory_bytes > 0) {
    if (Result<void> done = limit_memory(folders_.memory, unified_, limits.memory_bytes); !done) return done;
  }
  if (!folders_.cpu.empty() && limits.cpus > 0) {
    if (Result<void> done = limit_cpu(folders_.cpu, unified_, limits.cpus); !done) return done;
  }
  if (!folders_.pids.empty() && limits.processes > 0) {
    if (Result<void> done = set(folders_.pids, "pids.max", std::to_string(limits.processes)); !done)
      return done;
  }
  return {};
}

Result<void> Cgroup::add(pid_t pid) {
  for (const std::string& folder : folders_.all()) {
    if (Result<void> done = set(folder, "cgroup.procs", std::to_string(pid)); !done) return done;
  }
  return {};
}

Result<std::vector<FileDescriptor>> Cgroup::open_entrances() const {
  std::vector<FileDescriptor> files;
  for (const std::string& folder : folders_.all()) {
    const std::string path = unified_ ? folder : folder + "/tasks";
    FileDescriptor file(::open(path.c_str(), (unified_ ? O_RDONLY | O_DIRECTORY : O_WRONLY) | O_CLOEXEC));
    if (!file.valid())
      return Unexpected(ErrorCode::kUnsupported,
                        fmt::format("cannot open {}: {}", path, std::strerror(errno)));
    files.push_back(std::move(file));
  }
  return files;
}

std::int64_t Cgroup::oom_kills() const {
  if (folders_.memory.empty()) return 0;
  const char* file = unified_ ? "/memory.events" : "/memory.oom_control";
  return control_field(read_control(folders_.memory + file), "oom_kill");
}

std::int64_t Cgroup::refused_forks() const {
  if (folders_.pids.empty()) return 0;
  return control_field(read_control(folders_.pids + "/pids.events"), "max");
}

Cgroup::Usage Cgroup::usage() const {
  Usage usage;
  if (!folders_.memory.empty()) {
    usage.memory_bytes =
        number(read_control(folders_.memory + (unified_ ? "/memory.current" : "/memory.usage_in_bytes")));
  }
  if (!folders_.pids.empty()) usage.processes = number(read_control(folders_.pids + "/pids.current"));
  return usage;
}

bool Cgroup::kill() noexcept {
  // Every process is in all the hierarchies; under v1 the one that can stop forks is asked first.
  for (const std::string* folder : {&folders_.processes, &folders_.pids, &folders_.memory, &folders_.cpu}) {
    if (!folder->empty()) return kill_cgroup(*folder);
  }
  return true;
}

bool Cgroup::remove() noexcept {
  kill();
  bool gone = true;
  for (const std::string& folder : folders_.all()) gone = remove_cgroup(folder) && gone;
  if (gone) folders_ = {};
  return gone;
}

}  // namespace serverledge
