#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "node_client.hpp"

namespace serverledge::cli {

/// What the process exits with: the same for every command.
enum Exit : int {
  kOk = 0,
  kUsage = 1,      ///< wrong or missing options, parameters or files of parameters
  kServer = 2,     ///< the node refused, failed or could not be reached
  kSource = 3,     ///< the function's source could not be read or packed
  kSignature = 4,  ///< a bad --input or --output
};

/// What a command does once its options have been read. Returns what the process exits with.
using Action = std::function<int(NodeClient&)>;

/// One row of the table of commands.
struct Command {
  const char* name;
  const char* description;
  const char* examples;  ///< shown at the end of its help
  /// Adds the command's options and returns what to do with them.
  Action (*define)(CLI::App& options);
};

Action define_create(CLI::App& options);
Action define_delete(CLI::App& options);
Action define_invoke(CLI::App& options);
Action define_list(CLI::App& options);
Action define_poll(CLI::App& options);
Action define_prewarm(CLI::App& options);
Action define_status(CLI::App& options);

/// Adds a repeatable option that takes exactly one value at a time.
CLI::Option* add_repeatable(CLI::App& options, const char* names, std::vector<std::string>& values,
                            const char* description);

}  // namespace serverledge::cli
