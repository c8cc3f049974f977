#include "runtime/sandbox/process_tree.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <filesystem>
#include <string_view>

#include "runtime/sandbox/cgroup_file.hpp"

namespace serverledge {
namespace {

constexpr std::size_t kMostProcesses = 100000;

/// Calls `use` with each number of a text that is separated by blanks.
template <typename Use>
void for_each_number(std::string_view text, Use use) {
  while (!text.empty()) {
    long long number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc()) use(number);
    const std::size_t read = error == std::errc() ? static_cast<std::size_t>(end - text.data()) : 0;
    const std::size_t blank = text.find_first_of(" \n", read);
    if (blank == std::string_view::npos) return;
    text.remove_prefix(blank + 1);
  }
}

std::int64_t own_pages(const std::string& folder) {
  std::int64_t fields[3] = {};  // size, resident, of it from files or shared
  std::size_t index = 0;
  for_each_number(read_control(folder + "/statm"), [&](long long number) {
    if (index < 3) fields[index++] = number;
  });
  return fields[1] - fields[2];
}

Duration cpu_time(const std::string& folder) {
  const std::string stat = read_control(folder + "/stat");
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return {};
  // After the name: the state, then numbers; user and system time are the 14th and 15th field of the line.
  std::int64_t ticks = 0;
  std::size_t index = 4;
  for_each_number(std::string_view(stat).substr(std::min(stat.size(), name_end + 4)), [&](long long number) {
    if (index == 14 || index == 15) ticks += number;
    ++index;
  });
  return std::chrono::nanoseconds(std::chrono::seconds(1)) * ticks / ::sysconf(_SC_CLK_TCK);
}

}  // namespace

TreeUsage usage_of_tree(pid_t root) {
  TreeUsage usage;
  if (root > 0) usage.processes.push_back(root);
  for (std::size_t next = 0; next < usage.processes.size() && next < kMostProcesses; ++next) {
    const std::string folder = fmt::format("/proc/{}", usage.processes[next]);
    usage.memory_bytes += own_pages(folder) * ::sysconf(_SC_PAGESIZE);
    usage.cpu_time += cpu_time(folder);
    std::error_code gone;
    for (const auto& task : std::filesystem::directory_iterator(folder + "/task", gone)) {
      ++usage.tasks;
      for_each_number(read_control(task.path().string() + "/children"),
                      [&](long long pid) { usage.processes.push_back(static_cast<pid_t>(pid)); });
    }
  }
  return usage;
}

pid_t pid_of(int pidfd) {
  const std::string info = read_control(fmt::format("/proc/self/fdinfo/{}", pidfd));
  const std::size_t at = info.find("\nPid:");
  pid_t pid = -1;
  if (at != std::string::npos) {
    for_each_number(std::string_view(info).substr(at + 6), [&](long long number) {
      if (pid < 0) pid = static_cast<pid_t>(number);
    });
  }
  return pid;
}

}  // namespace serverledge
