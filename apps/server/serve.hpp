#pragma once

#include "serverledge/core/configuration.hpp"

namespace serverledge {

/// What the process exits with.
enum Exit : int {
  kStopped = 0,     ///< stopped as asked, or nothing to do
  kWrongUsage = 1,  ///< of the command line, or an error in the configuration
  kNotStarted = 2,  ///< the node could not be started
  kCutOff = 3,      ///< stopped at once by a second signal
};

/// Runs a node until a signal stops it. What is wrong is said on stderr.
int serve(const Configuration& configuration);

}  // namespace serverledge
