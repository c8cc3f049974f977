#pragma once

#include <cstdint>
#include <optional>

namespace serverledge {

/// What the kernel says of this process. Figures that it does not tell are absent.
struct ProcessFigures {
  std::optional<double> cpu_seconds;
  std::optional<double> resident_bytes;
  std::optional<double> virtual_bytes;
  std::optional<double> threads;
  std::optional<double> start_time;  ///< unix seconds
  std::optional<double> open_fds;
  std::optional<double> max_fds;
};

ProcessFigures process_figures();

}  // namespace serverledge
