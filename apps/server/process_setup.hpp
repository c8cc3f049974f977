#pragma once

#include <string>
#include <vector>

namespace serverledge {

/// Does what a process that runs a node must do, and a library must not: asks for as many descriptors as it
/// may have, ignores SIGPIPE, and under systemd with Delegate=yes moves itself into the leaf `node` of its
/// control group, because the groups of functions are made beside it and unified groups allow no processes
/// inside the tree. Returns sentences about what did not work; none of it is fatal.
std::vector<std::string> prepare_process();

}  // namespace serverledge
