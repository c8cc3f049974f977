#pragma once

#include <sys/epoll.h>

#include <array>
#include <span>

#include "lane.hpp"

namespace serverledge::bench {

/// Waits for what many lanes wait for, and for a moment. Throws std::system_error if the kernel gives no
/// epoll. Confined to one thread.
class LaneEvents {
 public:
  LaneEvents();
  ~LaneEvents();
  LaneEvents(const LaneEvents&) = delete;
  LaneEvents& operator=(const LaneEvents&) = delete;

  /// Has `wait` tell of the lane: of room to send while there is something left to send, and of bytes or the
  /// end of the connection always. To be called after each step of a lane that may have changed that.
  void watch(Lane& lane);
  /// Has `wait` return at that moment, also between two milliseconds; TimePoint::max(): never.
  void wake_at(TimePoint at, TimePoint now);
  /// Until something happens, at most that long: events, whose data.ptr is the lane, or null for the moment.
  std::span<const epoll_event> wait(int milliseconds);

 private:
  void close_all();

  int epoll_ = -1;
  int timer_ = -1;
  TimePoint armed_ = TimePoint::max();
  std::array<epoll_event, 64> events_;
};

}  // namespace serverledge::bench
