#pragma once

#include <string_view>

namespace serverledge {

/// The content type of metrics in the text format of Prometheus.
constexpr std::string_view kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace serverledge
