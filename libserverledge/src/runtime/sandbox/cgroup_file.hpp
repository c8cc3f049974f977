#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace serverledge {

/// A control file's content; empty if it cannot be read.
std::string read_control(const std::string& path);
/// Writes a control file in one write; 0, or the errno.
int write_control(const std::string& path, std::string_view value);
/// The number after `key` in a file of "key value" lines; 0 if there is none.
long long control_field(std::string_view text, std::string_view key);
/// Names of the folders in a folder.
std::vector<std::string> child_cgroups(const std::string& path);

/// Kills every process in the cgroup at `path` and in those below it, also while they fork, until none is
/// left or two seconds have passed; whether none is left. The caller's own process is spared.
bool kill_cgroup(const std::string& path);
/// Removes the cgroup at `path` and those below it, waiting two seconds at most for the last process to
/// leave; true if it is gone.
bool remove_cgroup(const std::string& path);

}  // namespace serverledge
