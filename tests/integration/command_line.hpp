#pragma once

#include <string>
#include <utility>
#include <vector>

#include "support/command_run.hpp"
#include "support/node_process.hpp"

namespace serverledge::test {

inline const std::string kExamples = SERVERLEDGE_EXAMPLES;

/// Runs serverledge-cli on a node.
inline CommandRun cli(const NodeProcess& node, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), SERVERLEDGE_CLI);
  return run_command(arguments,
                     {"SERVERLEDGE_HOST=127.0.0.1", "SERVERLEDGE_PORT=" + std::to_string(node.port())});
}

}  // namespace serverledge::test
