#pragma once

#include <optional>
#include <string>
#include <vector>

namespace serverledge {

/// Does what a process that serves must do, and a library must not: asks for as many descriptors as it may
/// have, and ignores SIGPIPE. Returns sentences about what did not work; none of it is fatal.
std::vector<std::string> prepare_process();

/// For a process that runs functions: under systemd with Delegate=yes moves it into the leaf `node` of its
/// control group, because the groups of functions are made beside it and unified groups allow no processes
/// inside the tree. Returns a sentence if that did not work.
std::optional<std::string> enter_leaf_cgroup();

}  // namespace serverledge
