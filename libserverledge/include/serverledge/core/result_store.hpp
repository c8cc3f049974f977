#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// Answers of asynchronous calls, kept for a while so that they can be polled. Thread-safe.
class ResultStore {
 public:
  virtual ~ResultStore() = default;
  /// Says that a call of this id was accepted, so that a poll can tell "pending" from "unknown".
  virtual void accepted(std::string_view request_id) = 0;
  /// Publishes the answer; kept for the store's time-to-live. While the store is away the answer waits here.
  virtual void publish(std::string_view request_id, std::string answer) = 0;

  enum class State { kUnknown, kPending, kReady };
  struct Found {
    State state = State::kUnknown;
    std::string answer;
  };
  /// The answer, if it is there; kUnavailable when nobody can tell.
  virtual Result<Found> find(std::string_view request_id) = 0;
};

}  // namespace serverledge
