#include "serverledge/node/completion_queue.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

namespace serverledge {

struct CompletionQueue::Poster::State {
  std::mutex mutex;
  std::condition_variable filled;
  std::deque<Completion> completions;
  std::function<void()> notify;
  bool ended = false;
};

CompletionQueue::CompletionQueue(std::function<void()> notify) : state_(std::make_shared<Poster::State>()) {
  state_->notify = std::move(notify);
}

CompletionQueue::~CompletionQueue() {
  std::deque<Completion> dropped;  // whose destructors may do anything: after the lock
  const std::scoped_lock lock(state_->mutex);
  state_->ended = true;
  state_->notify = {};
  dropped.swap(state_->completions);
}

std::size_t CompletionQueue::drain(std::size_t most) {
  std::size_t ran = 0;
  while (ran < most) {
    Completion next;
    {
      const std::scoped_lock lock(state_->mutex);
      if (state_->completions.empty()) break;
      next = std::move(state_->completions.front());
      state_->completions.pop_front();
    }
    ++ran;
    next();
  }
  return ran;
}

bool CompletionQueue::wait(TimePoint deadline) {
  std::unique_lock lock(state_->mutex);
  const auto filled = [this] { return !state_->completions.empty(); };
  if (deadline == TimePoint::max()) {
    state_->filled.wait(lock, filled);
    return true;
  }
  return state_->filled.wait_until(lock, deadline, filled);
}

std::size_t CompletionQueue::size() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->completions.size();
}

void CompletionQueue::Poster::post(Completion completion) const {
  const std::scoped_lock lock(state_->mutex);
  if (state_->ended) return;  // and `completion` goes with its caller
  const bool first = state_->completions.empty();
  state_->completions.push_back(std::move(completion));
  state_->filled.notify_all();
  if (first && state_->notify) state_->notify();
}

}  // namespace serverledge
