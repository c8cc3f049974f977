#pragma once

#include <string>

#include "load.hpp"

namespace serverledge::bench {

/// The outcome as one JSON object, times in seconds.
std::string to_json(const Load& load, const Outcome& outcome);
/// The same for people, times in milliseconds.
std::string to_text(const Load& load, const Outcome& outcome);

}  // namespace serverledge::bench
