#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace serverledge::test {

/// A door at which threads wait until it is opened. A wait that lasts a minute is a defect, and ends. Opens
/// itself at its end and sees all who waited off, so that a failed test does not hang.
class Gate {
 public:
  Gate() = default;
  ~Gate() {
    open();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_ == 0; });
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  void open() {
    const std::scoped_lock lock(mutex_);
    opened_ = true;
    changed_.notify_all();
  }
  /// Whether it was opened in time.
  bool wait() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    ++waiting_;
    changed_.notify_all();
    const bool in_time = changed_.wait_for(lock, kTooLong, [this] { return opened_; });
    --waiting_;
    changed_.notify_all();
    return in_time;
  }
  /// Returns when that many threads have come to the door; false if they have not in time.
  bool wait_for_arrivals(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kTooLong, [&] { return arrived_ >= count; });
  }

 private:
  static constexpr std::chrono::minutes kTooLong{1};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool opened_ = false;
  int arrived_ = 0;
  int waiting_ = 0;
};

}  // namespace serverledge::test
