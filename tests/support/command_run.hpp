#pragma once

#include <string>
#include <vector>

namespace serverledge::test {

/// What a program printed, and how it ended.
struct CommandRun {
  int exit_code = -1;  ///< 128 + the signal if one ended it
  std::string out;
  std::string err;
};

/// Runs a program and waits for its end. `environment` ("NAME=value") is added to this process's, which it
/// overrides. Throws if the program cannot be started. Thread-safe.
CommandRun run_command(const std::vector<std::string>& arguments,
                       const std::vector<std::string>& environment = {});

}  // namespace serverledge::test
