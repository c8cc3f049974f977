#include "lane_events.hpp"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace serverledge::bench {

LaneEvents::LaneEvents()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
  epoll_event event = {};
  event.events = EPOLLIN;
  if (epoll_ >= 0 && timer_ >= 0 && epoll_ctl(epoll_, EPOLL_CTL_ADD, timer_, &event) == 0) return;
  const int error = errno;
  close_all();
  throw std::system_error(error, std::generic_category(), "epoll");
}

LaneEvents::~LaneEvents() { close_all(); }

void LaneEvents::close_all() {
  if (epoll_ >= 0) close(epoll_);
  if (timer_ >= 0) close(timer_);
}

void LaneEvents::watch(Lane& lane) {
  const Connection& connection = lane.connection();
  if (connection.socket() < 0) return;  // what is closed is watched no more
  const bool fresh = lane.watched_socket != connection.sockets();
  const bool sending = connection.wants_to_send();
  if (!fresh && sending == lane.watched_sending) return;
  epoll_event event = {};
  event.events = EPOLLIN | (sending ? std::uint32_t{EPOLLOUT} : 0U);
  event.data.ptr = &lane;
  epoll_ctl(epoll_, fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, connection.socket(), &event);
  lane.watched_socket = connection.sockets();
  lane.watched_sending = sending;
}

void LaneEvents::wake_at(TimePoint at, TimePoint now) {
  if (at == armed_) return;
  armed_ = at;
  itimerspec spec = {};  // all zero: disarmed
  if (at != TimePoint::max()) {
    const auto left = std::max<Duration::rep>((at - now).count(), 1);
    spec.it_value = {static_cast<time_t>(left / 1000000000), static_cast<long>(left % 1000000000)};
  }
  timerfd_settime(timer_, 0, &spec, nullptr);
}

std::span<const epoll_event> LaneEvents::wait(int milliseconds) {
  const int count = epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), milliseconds);
  const std::span<const epoll_event> happened(events_.data(), static_cast<std::size_t>(std::max(count, 0)));
  for (const auto& event : happened) {
    if (event.data.ptr != nullptr) continue;
    std::uint64_t times = 0;
    if (read(timer_, &times, sizeof(times)) > 0) armed_ = TimePoint::max();
  }
  return happened;
}

}  // namespace serverledge::bench
