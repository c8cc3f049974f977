#pragma once

#include <memory>

#include "runtime/docker/executor_protocol.hpp"
#include "runtime/docker/local_process.hpp"
#include "runtime/frame.hpp"
#include "serverledge/core/container_runtime.hpp"
#include "serverledge/net/http_client.hpp"

namespace serverledge {

/// What takes the calls of one function in a container, by a connection for each slot. One call at a time on
/// each; otherwise thread-safe.
///
/// Errors: kDeadline; kInvalid: what came is no answer; kTooLarge: it is over the limit; any other: the
/// connection or the call has ended, and the container's owner learns from it how the container did.
class Executor {
 public:
  Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  virtual ~Executor() = default;

  /// Has it import the function. kFunctionFailed with the traceback as detail if that fails.
  virtual Result<void> load(TimePoint deadline) = 0;
  virtual Result<Reply> call(const Call& call, TimePoint now) = 0;
  /// Ends its connections, and calls that the end of the container does not.
  virtual void end() noexcept = 0;
};

/// Where an executor is, and of what it is asked.
struct ExecutorSetup {
  HttpTarget address;
  const ExecutorTask& task;  ///< outlives it
  FrameLimits limits;
  int slots = 1;
  Clock& clock;
};

/// How an executor is called by HTTP.
struct HttpCalls {
  bool named = false;            ///< it says in an answer which call that is of
  bool cancelled_by_end = true;  ///< by `end()`: that of the container may not be seen
};

/// By HTTP, as the contract has it; the client outlives it.
std::unique_ptr<Executor> make_http_executor(const ExecutorSetup& setup, HttpCalls how, HttpClient& client);

/// By frames, on connections that are upgraded from HTTP. `process` is the container's, and outlives it.
std::unique_ptr<Executor> make_frame_executor(const ExecutorSetup& setup, const LocalProcess& process);

}  // namespace serverledge
