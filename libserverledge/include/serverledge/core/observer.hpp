#pragma once

#include <initializer_list>
#include <string_view>
#include <utility>

#include "serverledge/core/invocation.hpp"
#include "serverledge/core/peer_link.hpp"

namespace serverledge {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// A named value of a log line.
using LogField = std::pair<std::string_view, std::string_view>;

/// A stretch of an invocation's way through a node.
enum class Stage { kDecide, kWait, kStart, kExecute, kOffload };

/// A stage that an invocation has been through, or has failed in. Pointers are valid during the call.
struct StagePassed {
  Stage stage = Stage::kDecide;
  TimePoint begin{};
  TimePoint end{};
  const Peer* peer = nullptr;        ///< of an offload: where to
  const Error* error = nullptr;      ///< why the stage came to nothing; null if it did not
  const Failure* failure = nullptr;  ///< how the function failed in it; null if it did not
};

/// Told of what happens. Every method does nothing by default: override what interests. Thread-safe; never
/// called under a lock of the node; must not block or throw. Never given params or results to keep.
///
/// Of each invocation: `began`; then stages as it passes them, each of them any number of times; then
/// `completed` or `rejected`. One that was refused before it could begin is only `rejected`.
class Observer {
 public:
  virtual ~Observer() = default;
  /// The node begins to work on it. An observer that traces may set the trace context of the invocation.
  virtual void began(Invocation& /*invocation*/) {}
  /// It is about to be handed to a container (kExecute) or a peer (kOffload), which will be told its
  /// `traceparent`: an observer that traces may change that.
  virtual void entered(Invocation& /*invocation*/, Stage /*stage*/) {}
  virtual void passed(const Invocation& /*invocation*/, const StagePassed& /*passed*/) {}
  /// An invocation ended here: executed (report), or not (error).
  virtual void completed(const Invocation& /*invocation*/, const ExecutionReport& /*report*/) {}
  virtual void rejected(const Invocation& /*invocation*/, const Error& /*error*/) {}
  /// `request`, here and below: the id of the invocation that it was started, was to be started, or was given
  /// up for; empty if none.
  virtual void container_started(const Function& /*function*/, Duration /*init_time*/,
                                 std::string_view /*request*/) {}
  virtual void container_failed(const Function& /*function*/, const Error& /*error*/,
                                std::string_view /*request*/) {}
  virtual void container_gone(const Function& /*function*/, std::string_view /*reason*/,
                              std::string_view /*request*/) {}
  virtual void log(LogLevel /*level*/, std::string_view /*event*/,
                   std::initializer_list<LogField> /*fields*/) {}
};

}  // namespace serverledge
