#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/function.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// One request to run a function. Owns the body that `params` points into: move-only.
struct Invocation {
  Invocation() = default;
  Invocation(Invocation&&) noexcept = default;
  Invocation& operator=(Invocation&&) noexcept = default;

  std::string id;  ///< request id, unique for ever: "<function>-<32 hex digits>"
  FunctionPtr function;
  std::string body;               ///< what the request was read into
  std::size_t params_begin = 0;   ///< the params' place in `body`
  std::size_t params_size = 0;    ///< 0: no params, the function gets {}
  int qos_class = 0;              ///< higher goes first
  Duration max_response_time{0};  ///< QoSMaxRespT; <= 0: none
  bool can_offload = true;
  bool asynchronous = false;
  bool return_output = false;
  std::string traceparent;        ///< W3C trace context: the caller's, or of who traces here; may be empty
  std::string tracestate;         ///< what vendors added to it, passed on unchanged; may be empty
  std::uint64_t span = 0;         ///< of this node's part of the trace; 0: none is recorded
  std::uint64_t caller_span = 0;  ///< its parent; 0: none
  TimePoint arrival{};
  std::stop_token caller_gone;  ///< fires when the caller hung up

  /// The params as one JSON object, unchanged bytes of the request.
  std::string_view params() const {
    return params_size == 0 ? std::string_view("{}")
                            : std::string_view(body).substr(params_begin, params_size);
  }
  /// Latest moment at which the execution may still start: never if no QoSMaxRespT was given.
  TimePoint start_deadline() const {
    return max_response_time > Duration::zero() ? later(arrival, max_response_time) : TimePoint::max();
  }
};

/// Why a function's execution failed, for its caller.
enum class FailureKind { kRaised, kTimeout, kMemory, kCrashed, kProtocol, kStart, kOutput };

/// The name on the wire: "raised", "timeout", "memory", "crashed", "protocol", "start", "output".
const char* to_string(FailureKind kind) noexcept;
/// The kind of that name; nullopt if there is none.
std::optional<FailureKind> failure_kind(std::string_view name);

struct Failure {
  FailureKind kind = FailureKind::kCrashed;
  std::string message;    ///< one line: "ZeroDivisionError: division by zero"
  std::string traceback;  ///< as the language prints it; may be empty
  bool operator==(const Failure&) const = default;
};

/// What an execution gave: the answer of a call, local or remote.
struct ExecutionReport {
  std::string result;              ///< JSON text of what the function returned; empty when it failed
  std::optional<Failure> failure;  ///< set: the execution failed
  std::string output;              ///< captured stdout and stderr, when asked for
  bool warm = false;               ///< no container was started for it
  Duration init_time{0};           ///< container start; 0 when warm
  Duration queueing_time{0};       ///< wait in the queue
  Duration offload_latency{0};     ///< round trip less the remote's own times; 0 when local
  Duration duration{0};            ///< the call itself
  Duration response_time{0};       ///< arrival to answer
  std::string area;                ///< where it ran
  std::string node;                ///< node key where it ran
};

/// The response object of the contract (`Success`, `Result`, times in seconds, `Error` if it failed), without
/// newline: what `/invoke` and `/poll` answer, and what offloads relay.
std::string to_json(const ExecutionReport& report);
/// Reads a response object back, also one of the Go implementation. kInvalid if it is none.
Result<ExecutionReport> report_from_json(std::string_view json);
/// A report that says that a call was never started, for answers that are polled later.
ExecutionReport not_started(const Error& error);

}  // namespace serverledge
