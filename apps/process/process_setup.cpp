#include "process_setup.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <optional>

#include <linux/magic.h>

namespace serverledge {
namespace {

constexpr const char* kCgroups = "/sys/fs/cgroup";

std::optional<std::string> raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return std::nullopt;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) == 0) return std::nullopt;
  return std::string("the limit of open descriptors cannot be raised: ") + std::strerror(errno);
}

/// The folder of this process's control group; nullopt unless all controllers are in one hierarchy.
std::optional<std::string> own_cgroup() {
  struct statfs filesystem {};
  if (::statfs(kCgroups, &filesystem) != 0 || filesystem.f_type != CGROUP2_SUPER_MAGIC) return std::nullopt;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (line.starts_with("0::/") && line != "0::/") return kCgroups + line.substr(3);
  }
  return std::nullopt;
}

/// Whether this process alone is in the group, so that nothing stands in the way of handing controllers on.
bool is_alone_in(const std::string& group) {
  std::ifstream members(group + "/cgroup.procs");
  pid_t first = 0;
  pid_t second = 0;
  return members >> first && first == ::getpid() && !(members >> second);
}

/// systemd marks the groups that it hands over with Delegate=yes, but a user's own one cannot everywhere:
/// there what an ordinary user may write to is taken for it.
bool is_delegated(const std::string& group) {
  std::array<char, 8> value{};
  for (const char* mark : {"user.delegate", "trusted.delegate"}) {
    if (::getxattr(group.c_str(), mark, value.data(), value.size()) == 1 && value[0] == '1') return true;
  }
  if (::geteuid() == 0) return false;
  for (const char* file : {"", "/cgroup.procs", "/cgroup.subtree_control"}) {
    if (::access((group + file).c_str(), W_OK) != 0) return false;
  }
  return is_alone_in(group);
}

}  // namespace

std::optional<std::string> enter_leaf_cgroup() {
  const std::optional<std::string> group = own_cgroup();
  if (!group || !is_delegated(*group)) return std::nullopt;
  const std::string leaf = *group + "/node";
  if (::mkdir(leaf.c_str(), 0755) == 0 || errno == EEXIST) {
    std::ofstream members(leaf + "/cgroup.procs");
    if (members << ::getpid() << std::flush) return std::nullopt;
  }
  return "cannot move into " + leaf + ", so functions may run without limits: " + std::strerror(errno);
}

std::vector<std::string> prepare_process() {
  std::vector<std::string> notices;
  if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) notices.emplace_back("SIGPIPE cannot be ignored");
  if (std::optional<std::string> notice = raise_descriptor_limit()) notices.push_back(std::move(*notice));
  return notices;
}

}  // namespace serverledge
