#pragma once

#include <string>
#include <vector>

#include "load.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge::bench {

/// What was asked for on the command line.
struct Options {
  Load load;
  std::string plot;  ///< file of the plot; empty: none
  bool json = false;
  bool progress = false;
  bool seeded = false;      ///< chance has a part in it: the seed is worth telling
  bool functions = false;   ///< functions of a node are called, no other server
  std::string description;  ///< of the load, in a few words
};

/// Reads the command line. Nothing more to do if `exit_code` is set: help was printed (0), or why the usage
/// is wrong (1).
Options read_command_line(int argc, char** argv, std::optional<int>& exit_code);

}  // namespace serverledge::bench
