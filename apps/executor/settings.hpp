#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// What the image says by environment variables; docs/images.md documents them.
struct ExecutorSettings {
  int port = 8080;                                 ///< EXECUTOR_PORT; 0: any free one
  std::vector<std::string> command;                ///< CUSTOM_CMD, for calls that bring no Command
  std::optional<std::string> context;              ///< CONTEXT
  std::optional<Duration> timeout;                 ///< EXECUTOR_TIMEOUT_SEC, of one call
  std::size_t body_max = std::size_t{64} << 20U;   ///< EXECUTOR_BODY_LIMIT
  std::size_t output_max = std::size_t{1} << 20U;  ///< EXECUTOR_OUTPUT_LIMIT
  std::size_t result_max = std::size_t{6} << 20U;  ///< EXECUTOR_RESULT_LIMIT
  std::string folder = "/tmp";                     ///< TMPDIR: where the private folders of calls are made
};

/// The value of an environment variable; nullopt if it is not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;

/// kInvalid naming the variable that is wrong.
Result<ExecutorSettings> read_settings(const Environment& environment);

}  // namespace serverledge
