#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "serverledge/core/observer.hpp"
#include "serverledge/core/result_store.hpp"
#include "serverledge/node/invoker.hpp"

namespace serverledge {

/// Runs asynchronous calls and publishes their answers. One that waits for resources holds no thread: it is
/// parked until the scheduler posts its mailbox. Thread-safe.
class AsyncInvocations {
 public:
  /// `capacity` calls may be accepted and unfinished; at most `workers` threads run them, started on demand.
  AsyncInvocations(Invoker& invoker, ResultStore& results, Observer& observer, std::size_t capacity,
                   int workers);
  ~AsyncInvocations();
  AsyncInvocations(const AsyncInvocations&) = delete;
  AsyncInvocations& operator=(const AsyncInvocations&) = delete;

  /// Takes the call; its id, under which the answer will be published. kNoResources when full, kCancelled
  /// when stopped.
  Result<std::string> accept(Invocation invocation);
  /// Accepts no more; what was accepted goes on.
  void close();
  /// Waits until everything accepted has been published; the invoker must be able to end it (see
  /// Invoker::kill).
  void join();

 private:
  class Job;
  Result<void> admit();
  void push(std::shared_ptr<Job> job, bool first);
  void work();
  void run(const std::shared_ptr<Job>& job);
  void publish(Job& job, Result<ExecutionReport> outcome);

  Invoker& invoker_;
  ResultStore& results_;
  Observer& observer_;
  const std::size_t capacity_;
  const std::size_t max_workers_;

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
