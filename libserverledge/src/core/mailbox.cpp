#include "serverledge/core/mailbox.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace serverledge {
namespace {

class ConditionMailbox final : public ThreadMailbox {
 public:
  void post() override {
    const std::scoped_lock lock(mutex_);
    posted_ = true;
    changed_.notify_one();
  }

  Woken wait(TimePoint deadline, std::stop_token stop) override {
    std::unique_lock lock(mutex_);
    const auto posted = [this] { return posted_; };
    // A wait for ever is cut into days: some C++ libraries overflow on TimePoint::max().
    bool done = false;
    while (!done) {
      const TimePoint slice = std::min(deadline, later(system_clock().now(), std::chrono::hours(24)));
      done = changed_.wait_until(lock, stop, slice, posted) || stop.stop_requested() || slice == deadline;
    }
    if (posted_) {
      posted_ = false;
      return Woken::kPosted;
    }
    return stop.stop_requested() ? Woken::kStopped : Woken::kDeadline;
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool posted_ = false;
};

}  // namespace

std::shared_ptr<ThreadMailbox> make_thread_mailbox() { return std::make_shared<ConditionMailbox>(); }

}  // namespace serverledge
