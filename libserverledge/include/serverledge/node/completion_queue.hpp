#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <memory>

#include "serverledge/core/clock.hpp"

namespace serverledge {

/// Where a host is told that calls which it has submitted have ended, on a thread of its own choosing: what
/// ends is queued, and runs when the host drains. Thread-safe. A queue may go before its calls: they go on,
/// and their answers are dropped.
class CompletionQueue {
 public:
  using Completion = std::function<void()>;

  /// `notify` is called when the queue, empty before, has got a completion: from any thread, and under the
  /// queue's lock, so that it must do no more than wake the host (write to an eventfd) and not call the
  /// queue. It is not called any more when the destructor has returned.
  explicit CompletionQueue(std::function<void()> notify = {});
  ~CompletionQueue();
  CompletionQueue(const CompletionQueue&) = delete;
  CompletionQueue& operator=(const CompletionQueue&) = delete;

  /// Runs up to `most` completions on this thread, in the order in which they came; how many it ran. They may
  /// submit anew. What a completion throws comes out here; those after it stay.
  std::size_t drain(std::size_t most = std::numeric_limits<std::size_t>::max());
  /// Waits until there is something to drain; false if there is nothing by the deadline.
  bool wait(TimePoint deadline);
  /// Completions that wait to be drained.
  std::size_t size() const;

  /// Adds completions. Keeps what it needs alive itself; after the queue's end it drops what it is given.
  class Poster {
   public:
    void post(Completion completion) const;

   private:
    friend class CompletionQueue;
    struct State;
    explicit Poster(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
  };
  Poster poster() const { return Poster(state_); }

 private:
  std::shared_ptr<Poster::State> state_;
};

}  // namespace serverledge
