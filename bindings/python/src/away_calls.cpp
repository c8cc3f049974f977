#include "away_calls.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace serverledge::python {

struct AwayCalls::Call::State {
  Work work;
  std::stop_source gone;
  std::optional<Outcome> outcome;  // written by its thread before it has `ended`
  std::atomic<bool> ended{false};
  Doorbell bell;
};

/// One thread, one call at a time.
class AwayCalls::Runner {
 public:
  Runner() : thread_([this](const std::stop_token& stop) { run(stop); }) {}
  ~Runner() {
    thread_.request_stop();
    bell_.ring();
  }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  bool idle() const { return !busy_.load(std::memory_order_acquire); }
  /// When idle.
  void start(std::shared_ptr<Call::State> call) {
    call_ = std::move(call);
    busy_.store(true, std::memory_order_release);
    bell_.ring();
  }

 private:
  void run(const std::stop_token& stop) {
    while (true) {
      if (!busy_.load(std::memory_order_acquire)) {
        if (stop.stop_requested()) return;
        bell_.wait();
        continue;
      }
      const std::shared_ptr<Call::State> call = std::move(call_);
      call->outcome = outcome_of(*call);
      call->work = {};
      busy_.store(false, std::memory_order_release);
      call->ended.store(true, std::memory_order_release);
      call->bell.ring();
    }
  }

  static Outcome outcome_of(const Call::State& call) {
    try {
      return call.work(call.gone.get_token());
    } catch (const std::exception& error) {
      return Unexpected(Error{ErrorCode::kInternal, error.what(), {}});
    }
  }

  std::shared_ptr<Call::State> call_;  // the caller's while idle, else the thread's
  std::atomic<bool> busy_{false};
  Doorbell bell_;
  std::jthread thread_;
};

AwayCalls::AwayCalls() = default;
AwayCalls::~AwayCalls() = default;

AwayCalls::Call::~Call() { state_->gone.request_stop(); }

bool AwayCalls::Call::wait(TimePoint deadline) {
  while (!state_->ended.load(std::memory_order_acquire)) {
    if (!state_->bell.wait(deadline)) return state_->ended.load(std::memory_order_acquire);
  }
  return true;
}

AwayCalls::Outcome AwayCalls::Call::take() { return std::move(*state_->outcome); }

void AwayCalls::end_threads() {
  std::vector<std::unique_ptr<Runner>> ending;  // without the lock
  const std::scoped_lock lock(mutex_);
  ending.swap(runners_);
}

std::unique_ptr<AwayCalls::Call> AwayCalls::begin(Work work) {
  auto state = std::make_shared<Call::State>();
  state->work = std::move(work);
  const std::scoped_lock lock(mutex_);
  auto idle = std::ranges::find_if(runners_, [](const auto& runner) { return runner->idle(); });
  if (idle == runners_.end()) idle = runners_.insert(idle, std::make_unique<Runner>());
  (*idle)->start(state);
  return std::unique_ptr<Call>(new Call(std::move(state)));
}

}  // namespace serverledge::python
