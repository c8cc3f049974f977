#include "observe/process_figures.hpp"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace serverledge {
namespace {

std::string content(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t begin = text.find_first_not_of(" \n");
    if (begin == std::string_view::npos) break;
    text.remove_prefix(begin);
    const std::size_t end = std::min(text.find_first_of(" \n"), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return out;
}

std::optional<double> number(std::string_view word) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return static_cast<double>(value);
}

/// When the machine started, unix seconds.
std::optional<double> boot_time() {
  const std::string stat = content("/proc/stat");
  constexpr std::string_view kKey = "\nbtime ";
  const std::size_t at = stat.find(kKey);
  if (at == std::string::npos) return std::nullopt;
  const std::string_view rest = std::string_view(stat).substr(at + kKey.size());
  return number(rest.substr(0, rest.find('\n')));
}

std::optional<double> open_descriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/fd"), ::closedir);
  if (!folder) return std::nullopt;
  int entries = 0;
  while (::readdir(folder.get()) != nullptr) ++entries;
  return entries - 3;  // without ".", ".." and the folder's own
}

}  // namespace

ProcessFigures process_figures() {
  ProcessFigures figures;
  const std::string stat = content("/proc/self/stat");
  // The name of the process, in parentheses, may hold anything.
  const std::size_t name_end = stat.rfind(") ");
  const auto fields =
      words(name_end == std::string::npos ? std::string_view() : std::string_view(stat).substr(name_end + 2));
  // Their numbers in proc(5), less those of the first three.
  constexpr std::size_t kUser = 11, kSystem = 12, kThreads = 17, kStart = 19, kVirtual = 20, kResident = 21;
  if (fields.size() > kResident) {
    const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    const auto user = number(fields[kUser]);
    const auto system = number(fields[kSystem]);
    if (user && system) figures.cpu_seconds = (*user + *system) / ticks;
    figures.threads = number(fields[kThreads]);
    figures.virtual_bytes = number(fields[kVirtual]);
    if (const auto pages = number(fields[kResident])) {
      figures.resident_bytes = *pages * static_cast<double>(::sysconf(_SC_PAGESIZE));
    }
    const auto boot = boot_time();
    const auto start = number(fields[kStart]);
    if (boot && start) figures.start_time = *boot + *start / ticks;
  }
  figures.open_fds = open_descriptors();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) figures.max_fds = static_cast<double>(limit.rlim_cur);
  return figures;
}

}  // namespace serverledge
