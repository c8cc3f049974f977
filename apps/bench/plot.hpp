#pragma once

#include <string>
#include <string_view>

#include "load.hpp"

namespace serverledge::bench {

/// The distribution of the latencies as an SVG picture that stands alone: percentiles to the right, each
/// further nine as wide as the one before, latency upwards on a logarithmic scale. Cold starts are a line of
/// their own if there are both kinds.
std::string latency_plot(std::string_view title, const Outcome& outcome);

}  // namespace serverledge::bench
