#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "serverledge/core/clock.hpp"

namespace serverledge {

enum class TurnOutcome { kTurn, kDone, kLate };

/// Of turns in which nobody does another's work.
struct NoWork {};

/// Lets one thread at a time at something, in the order of arrival, each after a wait that is bounded. Who
/// has work to be done may find, instead of its turn, that the one before it did that work along with its
/// own. Thread-safe.
template <typename Work = NoWork>
class Turns {
 public:
  using WorkPtr = std::shared_ptr<Work>;

 private:
  struct Waiter {
    WorkPtr work;  // none: wants the turn for itself
    bool done = false;
    std::condition_variable changed;
  };
  using WaiterPtr = std::shared_ptr<Waiter>;

 public:
  /// Being at it: ends with the object.
  class Turn {
   public:
    Turn(Turn&& other) noexcept
        : turns_(std::exchange(other.turns_, nullptr)), taken_(std::move(other.taken_)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (turns_ != nullptr) turns_->leave(taken_);
    }

    /// The works that wait now, in order, the own one first: to be done within this turn. `fits` is asked for
    /// each after the first.
    template <typename Fits>
    std::vector<WorkPtr> gather(Fits fits) {
      const std::scoped_lock lock(turns_->mutex_);
      std::vector<WorkPtr> works;
      for (const WaiterPtr& waiter : turns_->waiters_) {
        if (!waiter->work) continue;
        if (!works.empty() && !fits(*waiter->work)) break;
        works.push_back(waiter->work);
        if (waiter != taken_.front()) taken_.push_back(waiter);
      }
      return works;
    }

   private:
    friend class Turns;
    explicit Turn(Turns& turns, WaiterPtr own) : turns_(&turns), taken_{std::move(own)} {}
    Turns* turns_;
    std::vector<WaiterPtr> taken_;  // the own waiter, and those whose work was gathered
  };

  struct Entered {
    TurnOutcome outcome = TurnOutcome::kLate;
    std::optional<Turn> turn;  // only with kTurn
  };

  /// Waits for a turn, or for the work to have been done by another, `limit` at most. After kLate the work
  /// may still be done if somebody is at it already; otherwise it is not.
  Entered enter(Duration limit, WorkPtr work = nullptr) {
    auto self = std::make_shared<Waiter>();
    self->work = std::move(work);
    std::unique_lock lock(mutex_);
    waiters_.push_back(self);
    const auto served = [&] { return self->done || (!busy_ && waiters_.front() == self); };
    if (!self->changed.wait_for(lock, limit, served)) {
      std::erase(waiters_, self);
      return {TurnOutcome::kLate, std::nullopt};
    }
    if (self->done) return {TurnOutcome::kDone, std::nullopt};
    busy_ = true;
    return {TurnOutcome::kTurn, Turn(*this, std::move(self))};
  }

 private:
  void leave(const std::vector<WaiterPtr>& finished) {
    const std::scoped_lock lock(mutex_);
    for (const WaiterPtr& waiter : finished) {
      waiter->done = true;
      std::erase(waiters_, waiter);
      waiter->changed.notify_one();
    }
    busy_ = false;
    if (!waiters_.empty()) waiters_.front()->changed.notify_one();
  }

  std::mutex mutex_;
  std::deque<WaiterPtr> waiters_;  // who is at it stays in front
  bool busy_ = false;
};

}  // namespace serverledge
