#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

namespace serverledge::test {

inline std::string read_whole(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Processes of the machine that have something of `folder` mounted: with a node's store, its launcher's and
/// all that it started. Their namespaces live no longer than they.
inline std::set<int> processes_with(const std::filesystem::path& folder) {
  std::set<int> found;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", gone)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (read_whole(entry.path() / "mountinfo").find(folder.string()) != std::string::npos)
      found.insert(std::stoi(name));
  }
  return found;
}

/// Folders of control groups that bear a node's id.
inline std::set<std::string> cgroups_of(const std::string& id) {
  namespace fs = std::filesystem;
  std::set<std::string> found;
  std::error_code error;
  for (fs::recursive_directory_iterator
           at("/sys/fs/cgroup", fs::directory_options::skip_permission_denied, error),
       end;
       at != end; at.increment(error)) {
    if (error) break;
    if (at->is_directory(error) && at->path().filename().string().find(id) != std::string::npos)
      found.insert(at->path().string());
  }
  return found;
}

/// Mounts that this process sees whose line contains the text.
inline std::size_t mounts_with(const std::string& text) {
  std::ifstream mounts("/proc/self/mountinfo");
  std::size_t count = 0;
  for (std::string line; std::getline(mounts, line);) count += line.find(text) != std::string::npos ? 1 : 0;
  return count;
}

}  // namespace serverledge::test
