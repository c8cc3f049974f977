#pragma once

#include <string>

#include "serverledge/core/configuration.hpp"
#include "serverledge/node/node.hpp"

namespace serverledge {

/// What the configuration says of the machine, with what it leaves to the node decided: cores, architecture,
/// starts.
NodeOptions node_options(const Configuration& configuration, const std::string& node_key);

/// A variable of the process's environment; empty if it is not set.
std::string environment_variable(const char* name);

/// The folder of the node's store; ":memory:" for none. kInvalid if it can be told from nothing.
Result<std::string> store_path(const Configuration& configuration);

}  // namespace serverledge
