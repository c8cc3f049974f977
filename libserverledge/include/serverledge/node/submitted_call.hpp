#pragma once

#include <string>

namespace serverledge {

/// A call that was submitted (see Invoker::submit), for as long as someone wants to cancel it. Thread-safe;
/// may outlive the node.
class SubmittedCall {
 public:
  virtual ~SubmittedCall() = default;
  /// The request id.
  virtual const std::string& id() const = 0;
  /// Ends it with kCancelled, unless it has ended: whether it did. One that waits leaves the queue; one that
  /// runs goes on, is reported to observer and policy, and its answer is dropped.
  virtual bool cancel() = 0;
};

}  // namespace serverledge
