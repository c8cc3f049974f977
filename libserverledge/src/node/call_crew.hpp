#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "serverledge/core/observer.hpp"
#include "serverledge/node/invoker.hpp"
#include "serverledge/node/submitted_call.hpp"

namespace serverledge {

/// Runs calls that have no thread of their own, on a bounded set of threads that are started on demand. One
/// that waits for resources holds none: it is parked until the scheduler posts its mailbox. Thread-safe.
class CallCrew {
 public:
  struct Limits {
    std::size_t capacity = 10000;  ///< calls that may be admitted and unfinished
    int workers = 64;              ///< threads, at most
    const char* key = "";          ///< the configuration key of `capacity`, for messages
  };
  /// Called once with what became of a call: on a thread of the crew, or on the one that cancels.
  using Ended = std::function<void(Result<ExecutionReport>)>;

  CallCrew(Invoker& invoker, Observer& observer, const Limits& limits);
  ~CallCrew();
  CallCrew(const CallCrew&) = delete;
  CallCrew& operator=(const CallCrew&) = delete;

  /// Keeps a place for a call. kNoResources when full, kCancelled when closed; then the call is reported as
  /// rejected.
  Result<void> admit(const Invocation& invocation);
  /// Runs a call that was admitted.
  std::shared_ptr<SubmittedCall> start(Invocation invocation, Ended ended);
  /// Admits no more; what was admitted goes on.
  void close();
  /// Closes, and waits until all that was admitted has ended; the invoker must be able to end it (see
  /// Invoker::kill). Idempotent.
  void join();

 private:
  class Job;
  void push(std::shared_ptr<Job> job, bool first);
  void work();
  void run(const std::shared_ptr<Job>& job);
  void finish();

  Invoker& invoker_;
  Observer& observer_;
  const std::size_t capacity_;
  const std::size_t max_workers_;
  const char* const key_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Job>> ready_;
  std::vector<std::jthread> workers_;
  std::size_t idle_workers_ = 0;
  std::size_t unfinished_ = 0;
  bool closed_ = false;
  bool ended_ = false;
};

}  // namespace serverledge
