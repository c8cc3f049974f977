#pragma once

#include <string>

#include "options.hpp"

namespace serverledge::bench {

/// The outcome as one JSON object, times in seconds.
std::string to_json(const Options& options, const Outcome& outcome);
/// The same for people, times in milliseconds.
std::string to_text(const Options& options, const Outcome& outcome);
/// How it goes, in one line.
std::string to_line(const Progress& progress);

}  // namespace serverledge::bench
