#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "doorbell.hpp"
#include "serverledge/core/invocation.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge::python {

/// Runs calls on threads of its own for one that must be able to leave them: the main thread of Python, where
/// signals are handled. A call that is left goes on as if its caller had hung up. Thread-safe; a call belongs
/// to who has begun it, who may begin another while it waits, as handlers of signals do.
class AwayCalls {
 public:
  using Outcome = Result<ExecutionReport>;
  using Work = std::function<Outcome(std::stop_token caller_gone)>;

  AwayCalls();
  ~AwayCalls();
  AwayCalls(const AwayCalls&) = delete;
  AwayCalls& operator=(const AwayCalls&) = delete;

  /// A call that has begun. Its destructor leaves it.
  class Call {
   public:
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    /// Whether it has ended by then.
    bool wait(TimePoint deadline);
    /// What it gave, once; it must have ended.
    Outcome take();

   private:
    friend class AwayCalls;
    struct State;
    explicit Call(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
  };
  std::unique_ptr<Call> begin(Work work);
  /// Ends its threads, after the calls that they are at, also those that were left: whoever wants this sees
  /// to it that they end. So does the destructor.
  void end_threads();

 private:
  class Runner;
  std::mutex mutex_;  // guards runners_, and which of them is given a call
  std::vector<std::unique_ptr<Runner>> runners_;
};

}  // namespace serverledge::python
