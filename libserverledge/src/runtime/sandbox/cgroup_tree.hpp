#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/sandbox/cgroup.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// What the kernel says of control groups, as text.
struct CgroupView {
  std::string mountinfo;  ///< /proc/self/mountinfo
  std::string own;        ///< /proc/self/cgroup
  static CgroupView of_this_process();
};

/// The place of a node's control groups on this machine: `<controller>/serverledge/<node>` under v1 and
/// hybrid hierarchies; under v2 `serverledge/<node>` in the subtree that systemd delegated (the process has
/// been moved into its leaf `node` by its application), else in the root. Where none of these can be used
/// every instance gets an empty Cgroup, and `missing` says what does not work and why. The destructor removes
/// the node's folders. Thread-safe once opened.
class CgroupTree {
 public:
  /// Finds the place and makes the node's folders. `node` is used as a folder's name.
  static CgroupTree open(const std::string& node, const CgroupView& view = CgroupView::of_this_process());
  CgroupTree(CgroupTree&& other) noexcept;
  CgroupTree& operator=(CgroupTree&&) = delete;
  ~CgroupTree();

  bool limits_memory() const { return !roots_.memory.empty(); }
  bool limits_cpu() const { return !roots_.cpu.empty(); }
  bool limits_processes() const { return !roots_.pids.empty(); }
  /// Sentences for the operator: what cannot be limited, why, and what would help. Empty if all works.
  const std::vector<std::string>& missing() const { return missing_; }

  /// Makes the instance's group with its limits. kUnsupported naming what failed; nothing is left behind
  /// then.
  Result<Cgroup> create(const std::string& instance, const CgroupLimits& limits) const;

  /// Nodes that have folders here, this one included.
  std::vector<std::string> nodes() const;
  /// Kills and removes all that a node left behind. Whether it is gone. For nodes whose lock is free only.
  bool remove_node(const std::string& node) const;

 private:
  explicit CgroupTree(std::string node) : node_(std::move(node)) {}
  void open_v1(std::string_view mountinfo);
  void open_v2(const std::string& mount, std::string_view own);
  CgroupFolders below(const std::string& name) const;

  std::string node_;
  CgroupFolders roots_;  // the folders named "serverledge", of this node and others
  bool unified_ = false;
  std::vector<std::string> missing_;
};

}  // namespace serverledge
