#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "net/http_crew.hpp"
#include "net/socket.hpp"

namespace serverledge {

namespace {

constexpr Duration kTick = std::chrono::milliseconds(2);        // while all workers are busy
constexpr Duration kWatch = std::chrono::milliseconds(40);      // how long to tick after they were
constexpr Duration kWaitedLong = std::chrono::milliseconds(2);  // for a worker
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);
constexpr Duration kBetweenNotes = std::chrono::minutes(1);
constexpr int kAcceptsPerTurn = 256;
constexpr std::size_t kPullMax = 64;

// Often enough for the shortest of the time limits.
Duration sweep_interval(const HttpServerOptions& options) {
  const Duration shortest =
      std::min({options.head_timeout, options.body_timeout, options.idle_timeout, options.write_timeout});
  return std::clamp<Duration>(shortest / 4, std::chrono::milliseconds(10), std::chrono::seconds(1));
}

/// The address in "192.0.2.7:51312" or "[::1]:51312".
std::string_view host_of(std::string_view from) {
  if (from.starts_with('[')) return from.substr(1, from.find(']') - 1);
  return from.substr(0, from.rfind(':'));
}

bool out_of_descriptors(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

void HttpCrew::keep() {
  pthread_setname_np(pthread_self(), "http-keeper");
  while (true) {
    TimePoint now = system_clock().now();
    const bool accepts = listener_.valid() && now >= accept_again_;
    std::array<pollfd, 2> waits{pollfd{keeper_fd_.get(), POLLIN, 0},
                                pollfd{accepts ? listener_.get() : -1, POLLIN, 0}};
    poll(waits.data(), waits.size(), keeper_timeout(now));
    if (stopping_) return;
    eventfd_t wakes = 0;
    eventfd_read(keeper_fd_.get(), &wakes);
    if (waits[1].revents != 0) accept_all();
    if (draining_ && listener_.valid()) {
      accept_all();  // who has got as far as the backlog is still answered
      close_listener();
    }
    now = system_clock().now();
    if (watches(now)) watch_workers(now);
    if (now >= next_sweep_) {
      sweep();
      join_leavers();
      next_sweep_ = now + sweep_interval(options_);
    }
  }
}

int HttpCrew::keeper_timeout(TimePoint now) const {
  TimePoint until = TimePoint::max();
  if (table_.size() > 0) until = next_sweep_;
  if (listener_.valid() && accept_again_ > now) until = std::min(until, accept_again_);
  if (keeper_watches_.load()) until = std::min(until, now + kTick);
  return poll_milliseconds(until, now);
}

void HttpCrew::close_listener() {
  if (listener_.valid() && !options_.unix_path.empty()) unlink(options_.unix_path.c_str());
  listener_.reset();
  const std::lock_guard lock(mutex_);
  accepting_ = false;
  changed_.notify_all();
}

void HttpCrew::accept_all() {
  std::string from;
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    FileDescriptor fd = accept_from(listener_, from);
    const int error = errno;
    if (fd.valid()) {
      welcome(std::move(fd), from);
    } else if (error == EAGAIN || error == EWOULDBLOCK) {
      return;
    } else if (out_of_descriptors(error) && !displace_idle()) {
      note("cannot accept connections", std::generic_category().message(error));
      accept_again_ = system_clock().now() + kAcceptPause;
      return;
    }  // else it is about that one connection: ECONNABORTED and the like
  }
}

void HttpCrew::welcome(FileDescriptor fd, std::string from) {
  if (options_.refused && options_.refused->contains(host_of(from))) return;
  const bool turned_away = table_.size() >= options_.max_connections && !displace_idle();
  Connection* connection =
      table_.add(std::move(fd), std::move(from), later(clock_.now(), options_.idle_timeout));
  if (connection == nullptr) return;
  if (!turned_away) {
    give_up(*connection);
    return;
  }
  note_overload(fmt::format("{} connections", options_.max_connections));
  service_.turn_away(*connection);
  serve(*connection, HttpService::Effort::kQuickOnly, keeper_gauge_);
}

bool HttpCrew::displace_idle() {
  // One that looks idle may just have been sent something, or be taken up: then the next longest is tried.
  TimePoint tried = TimePoint::min();
  while (Connection* longest = longest_idle(tried)) {
    tried = longest->deadline();
    if (!table_.claim(*longest)) continue;
    if (service_.close_if_idle(*longest)) return true;
    give_up(*longest);
  }
  return false;
}

Connection* HttpCrew::longest_idle(TimePoint after) {
  Connection* longest = nullptr;
  TimePoint first = TimePoint::max();
  table_.for_each([&](Connection& connection) {
    const TimePoint deadline = connection.deadline();
    if (!connection.at_rest() || deadline <= after || deadline >= first) return;
    first = deadline;
    longest = &connection;
  });
  return longest;
}

bool HttpCrew::watches(TimePoint now) {
  const auto all_busy = [this] { return idle_.load() <= 0; };
  if (all_busy()) watch_until_ = now + kWatch;
  keeper_watches_.store(now < watch_until_);
  if (now >= watch_until_ && all_busy()) {  // the last of them may have seen that we watched
    watch_until_ = now + kWatch;
    keeper_watches_.store(true);
  }
  return keeper_watches_.load();
}

void HttpCrew::watch_workers(TimePoint now) {
  if (idle_.load() > 0) return;
  // Events that nobody comes to take: from here on it is known how long they wait.
  std::array<Connection*, kPullMax> claimed{};
  const std::size_t count = table_.wait(claimed, 0);
  push_waiting(std::span(claimed).first(count));

  std::size_t starting = 0;
  bool serve_here = false;
  {
    const std::lock_guard lock(mutex_);
    const Duration waited = waiting_.empty() ? Duration::zero() : now - waiting_.front().since;
    if (waited >= kWaitedLong && workers_are_blocked(now)) {
      const std::size_t threads = workers_.size();
      const std::size_t room = options_.max_threads > threads ? options_.max_threads - threads : 0;
      const std::size_t awaited = waiting_.size() - std::min(waiting_.size(), arriving_.load());
      starting = std::min({room, awaited, std::max<std::size_t>(1, threads / 4)});
      serve_here = room == 0 && waited >= options_.patience;
    }
  }
  for (; starting > 0 && start_worker(); --starting) {
  }
  if (serve_here) serve_in_their_place(now);
}

bool HttpCrew::workers_are_blocked(TimePoint now) {
  std::size_t blocked = 0;
  std::uint64_t quick = 0;
  for (const Worker& worker : workers_) {
    const TimePoint since{Duration(worker.gauge.since.load(std::memory_order_relaxed))};
    if (since != TimePoint{} && now - since >= kBlockedAfter) ++blocked;
    quick += worker.gauge.quick.load(std::memory_order_relaxed);
  }
  const std::uint64_t lately = quick - std::exchange(quick_seen_, quick);
  // Those that are not blocked may well be working the queue off: then more threads would only get in their
  // way.
  return 2 * blocked >= workers_.size() && 5 * lately < waiting_.size();
}

void HttpCrew::serve_in_their_place(TimePoint now) {
  note_overload(fmt::format("all {} threads are blocked", options_.max_threads));
  while (true) {
    Connection* connection = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.empty() || now - waiting_.front().since < options_.patience) return;
      connection = waiting_.front().connection;
      waiting_.pop_front();
      waiting_count_.store(waiting_.size());
    }
    serve(*connection, HttpService::Effort::kQuickOnly, keeper_gauge_);
  }
}

void HttpCrew::sweep() {
  const TimePoint now = clock_.now();
  table_.for_each([&](Connection& connection) {
    if (connection.deadline() > now || !table_.claim(connection)) return;
    if (connection.deadline() > now) {
      give_up(connection);
    } else {
      service_.expire(connection, keeper_gauge_);
    }
  });
}

void HttpCrew::join_leavers() {
  std::list<Worker> leavers;
  {
    const std::lock_guard lock(mutex_);
    leavers.swap(leavers_);
  }
  for (auto& leaver : leavers) leaver.thread.join();
}

void HttpCrew::note_overload(std::string_view detail) {
  const TimePoint now = system_clock().now();
  if (overload_noted_ != TimePoint{} && now - overload_noted_ < kBetweenNotes) return;
  overload_noted_ = now;
  note("overload", detail);
}

}  // namespace serverledge
