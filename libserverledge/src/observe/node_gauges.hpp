#pragma once

#include <prometheus/metric_family.h>

#include <functional>
#include <string_view>
#include <vector>

#include "serverledge/observe/metrics.hpp"

namespace serverledge {

/// The metrics that are not counted but looked at when asked: the sample's, and this process's. Containers of
/// functions for which `has_series` is false are added up as one function.
std::vector<prometheus::MetricFamily> node_gauges(
    const NodeSample& sample, const std::function<bool(std::string_view function)>& has_series);

}  // namespace serverledge
