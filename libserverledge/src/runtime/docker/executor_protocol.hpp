#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/frame.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/container_runtime.hpp"
#include "serverledge/net/http_message.hpp"

namespace serverledge {

/// What the executor in a container is told with every call of one function.
struct ExecutorTask {
  ExecutorTask() = default;
  explicit ExecutorTask(const Function& function);

  std::string function;
  std::int64_t memory_mb = 0;
  std::string command_json;  ///< the list of words, or null
  std::string handler;       ///< empty for a custom image
  std::string handler_dir;   ///< the same
  bool json_result = true;   ///< what it gives must be JSON; of a custom image any text is taken
};

/// The body of a call, as the contract has it, with a member Context that executors of ours read.
std::string executor_call(const ExecutorTask& task, const Call& call, TimePoint now);

/// The body that has an executor of ours import the function.
std::string executor_load(const ExecutorTask& task);

/// The same for one that speaks frames.
std::string frame_load(const ExecutorTask& task);

/// What an answer says. Hostile-input safe. What is no answer of the protocol dooms the container.
Reply executor_reply(const HttpResponse& response, const ExecutorTask& task, const FrameLimits& limits);

}  // namespace serverledge
