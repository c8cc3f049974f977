#include "runtime/sandbox/cgroup_tree.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "runtime/sandbox/cgroup_file.hpp"

namespace serverledge {
namespace {

constexpr const char* kFolder = "/serverledge";
constexpr std::array<const char*, 3> kNames{"memory", "cpu", "pids"};

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(at), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return parts;
}

bool has_word(std::string_view text, char at, std::string_view word) {
  const auto words = split(text, at);
  return std::find(words.begin(), words.end(), word) != words.end();
}

struct Mounts {
  std::vector<std::pair<std::string, std::string>> v1;  // controller, mount point
  std::optional<std::string> v2;
};

// Lines of mountinfo: id parent device root point options [tags] - type source super-options.
Mounts find_mounts(std::string_view mountinfo) {
  Mounts mounts;
  for (const std::string_view line : split(mountinfo, '\n')) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const auto left = split(line.substr(0, dash), ' ');
    const auto right = split(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    const std::string point(left[4]);
    if (right[0] == "cgroup2" && !mounts.v2) mounts.v2 = point;
    if (right[0] != "cgroup") continue;
    for (const char* controller : kNames) {
      if (has_word(right[2], ',', controller)) mounts.v1.emplace_back(controller, point);
    }
  }
  return mounts;
}

// The process's own group in the v2 hierarchy: the line "0::<path>".
std::string_view own_v2(std::string_view own) {
  for (const std::string_view line : split(own, '\n')) {
    if (line.starts_with("0::")) return line.substr(3);
  }
  return "/";
}

// Hands the controllers of a v2 group on to those below it: one by one, so that a missing one does not refuse
// all.
void hand_on(const std::string& group) {
  for (const char* controller : kNames)
    write_control(group + "/cgroup.subtree_control", fmt::format("+{}", controller));
}

// Another node may remove the common folder just before we make ours in it: then once more.
int make_folders(const std::string& parent, const std::string& node) {
  int error = 0;
  for (int attempt = 0; attempt < 10; ++attempt) {
    if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) return errno;
    if (::mkdir((parent + '/' + node).c_str(), 0755) == 0 || errno == EEXIST) return 0;
    error = errno;
    if (error != ENOENT) return error;
  }
  return error;
}

// A controller, and the member of CgroupFolders that it fills.
struct Controller {
  const char* name;
  std::string CgroupFolders::*folder;
  const char* what;
};
constexpr std::array<Controller, 3> kControllers{{{"memory", &CgroupFolders::memory, "memory"},
                                                  {"cpu", &CgroupFolders::cpu, "CPU time"},
                                                  {"pids", &CgroupFolders::pids, "the number of processes"}}};

std::string cannot(const Controller& controller, std::string_view why) {
  return fmt::format("{} cannot be limited by control groups: {}", controller.what, why);
}

}  // namespace

CgroupView CgroupView::of_this_process() {
  return {read_control("/proc/self/mountinfo"), read_control("/proc/self/cgroup")};
}

CgroupTree::CgroupTree(CgroupTree&& other) noexcept
    : node_(std::move(other.node_)),
      roots_(std::exchange(other.roots_, {})),
      unified_(other.unified_),
      missing_(std::move(other.missing_)) {}

CgroupTree::~CgroupTree() {
  for (const std::string& root : roots_.all()) {
    ::rmdir((root + '/' + node_).c_str());
    ::rmdir(root.c_str());  // fails, as it should, while another node has a folder there
  }
}

CgroupTree CgroupTree::open(const std::string& node, const CgroupView& view) {
  CgroupTree tree(node);
  const Mounts mounts = find_mounts(view.mountinfo);
  // A hybrid machine has a v2 hierarchy without controllers beside the v1 ones.
  if (mounts.v1.empty() && mounts.v2) {
    tree.open_v2(*mounts.v2, own_v2(view.own));
  } else {
    tree.open_v1(view.mountinfo);
  }
  return tree;
}

void CgroupTree::open_v1(std::string_view mountinfo) {
  const Mounts mounts = find_mounts(mountinfo);
  for (const Controller& controller : kControllers) {
    const auto mount = std::find_if(mounts.v1.begin(), mounts.v1.end(), [&](const auto& candidate) {
      return candidate.first == controller.name;
    });
    if (mount == mounts.v1.end()) {
      missing_.push_back(
          cannot(controller, fmt::format("the kernel offers no \"{}\" controller here", controller.name)));
      continue;
    }
    const std::string root = mount->second + kFolder;
    if (const int error = make_folders(root, node_); error != 0) {
      missing_.push_back(
          cannot(controller, fmt::format("{}/{}: {} (root may make it)", root, node_, std::strerror(error))));
      continue;
    }
    roots_.*controller.folder = root;
  }
}

void CgroupTree::open_v2(const std::string& mount, std::string_view own) {
  unified_ = true;
  // An application that systemd has given a subtree sits in the leaf "node" of it.
  const bool delegated = own.ends_with("/node");
  const std::string parent =
      mount + std::string(delegated ? own.substr(0, own.size() - 5) : std::string_view());
  const std::string root = parent + kFolder;
  hand_on(parent);
  if (const int error = make_folders(root, node_); error != 0) {
    const std::string why =
        fmt::format("{}/{}: {} (run the node as root, or under systemd with Delegate=yes)", root, node_,
                    std::strerror(error));
    for (const Controller& controller : kControllers) missing_.push_back(cannot(controller, why));
    return;
  }
  hand_on(root);
  hand_on(root + '/' + node_);
  roots_.processes = root;
  std::string given = read_control(root + '/' + node_ + "/cgroup.subtree_control");
  if (given.ends_with('\n')) given.pop_back();
  for (const Controller& controller : kControllers) {
    if (has_word(given, ' ', controller.name)) {
      roots_.*controller.folder = root;
    } else {
      missing_.push_back(
          cannot(controller, fmt::format("{} hands on no \"{}\" controller", parent, controller.name)));
    }
  }
}

CgroupFolders CgroupTree::below(const std::string& name) const {
  CgroupFolders folders = roots_;
  for (std::string* folder : {&folders.memory, &folders.cpu, &folders.pids, &folders.processes}) {
    if (!folder->empty()) *folder += '/' + name;
  }
  return folders;
}

Result<Cgroup> CgroupTree::create(const std::string& instance, const CgroupLimits& limits) const {
  Cgroup group(below(node_ + '/' + instance), unified_);
  for (const std::string& folder : group.folders_.all()) {
    if (::mkdir(folder.c_str(), 0755) != 0) {
      return Unexpected(ErrorCode::kUnsupported,
                        fmt::format("cannot make {}: {}", folder, std::strerror(errno)));
    }
  }
  if (Result<void> limited = group.limit(limits); !limited) return Unexpected(std::move(limited).error());
  return group;
}

std::vector<std::string> CgroupTree::nodes() const {
  std::set<std::string> names;
  for (const std::string& root : roots_.all()) {
    for (std::string& name : child_cgroups(root)) names.insert(std::move(name));
  }
  return {names.begin(), names.end()};
}

bool CgroupTree::remove_node(const std::string& node) const {
  const std::vector<std::string> folders = below(node).all();
  bool gone = true;
  for (const std::string& folder : folders) gone = kill_cgroup(folder) && gone;
  for (const std::string& folder : folders) gone = remove_cgroup(folder) && gone;
  return gone;
}

}  // namespace serverledge
