#include "load.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

namespace serverledge::bench {
namespace {

// Up to this many connections get a thread each, which blocks in recv: the shortest way there is. Beyond,
// threads would take the cores from the server that is measured, and epoll serves many connections from one.
constexpr int kThreadEach = 2;

constexpr int kTick = 100;  // milliseconds between looks at overdue answers
constexpr auto kPauseAfterRefusal = std::chrono::milliseconds(10);

bool is_under_way(Connection::State state) {
  return state == Connection::State::kSend || state == Connection::State::kWait;
}

// Says which request may start, and which counts. Shared by all threads.
class Schedule {
 public:
  explicit Schedule(const Load& load)
      : counting_(later(system_clock().now(), load.warmup)),
        end_(load.requests == 0 ? later(counting_, load.duration) : TimePoint::max()),
        limit_(load.requests) {}

  /// Whether a connection may send another request now.
  bool may_start(TimePoint now) {
    if (limit_ == 0 || now < counting_) return now < end_;
    return started_.fetch_add(1, std::memory_order_relaxed) < limit_;
  }
  bool counts(TimePoint started) const { return started >= counting_; }

 private:
  const TimePoint counting_;
  const TimePoint end_;
  const std::uint64_t limit_;
  std::atomic<std::uint64_t> started_{0};
};

// What one thread has seen.
struct Tally {
  Outcome outcome;
  TimePoint first = TimePoint::max();
  TimePoint last{};

  void add(const Connection& connection, TimePoint now) {
    first = std::min(first, connection.started());
    last = std::max(last, now);
    if (connection.state() == Connection::State::kFailed) {
      ++outcome.errors[connection.error()];
      return;
    }
    const auto& answer = connection.answer();
    ++outcome.statuses[answer.status()];
    outcome.bytes += answer.body().size();
    if (answer.status() < 200 || answer.status() >= 300) return;
    outcome.latency.record(static_cast<std::uint64_t>((now - connection.started()).count()));
    // Inside a string of the answer the quotes would be escaped.
    if (answer.body().find("\"IsWarmStart\":true") != std::string_view::npos) ++outcome.warm;
    if (answer.body().find("\"IsWarmStart\":false") != std::string_view::npos) ++outcome.cold;
  }
};

// Connections that one thread serves until the schedule ends.
class Worker {
 public:
  Worker(const Load& load, const Address& address, Schedule& schedule, int connections, bool blocking)
      : load_(load), schedule_(schedule) {
    for (int i = 0; i < connections; ++i) {
      connections_.push_back(std::make_unique<Connection>(address, load.request, blocking, load.timeout));
    }
  }

  /// One connection, whose socket blocks.
  void run_blocking() {
    Connection& connection = *connections_.front();
    while (start(connection)) {
      connection.advance();
      settle(connection);
    }
  }

  void run_epoll();
  const Tally& tally() const { return tally_; }

 private:
  // Starts the next request, unless the schedule is over.
  bool start(Connection& connection) {
    for (TimePoint now = system_clock().now(); schedule_.may_start(now); now = system_clock().now()) {
      if (connection.start(now)) return true;
      settle(connection);
      std::this_thread::sleep_for(kPauseAfterRefusal);  // or the loop would only measure refusals
    }
    return false;
  }

  void settle(const Connection& connection) {
    if (schedule_.counts(connection.started())) tally_.add(connection, system_clock().now());
  }

  void next(int epoll, Connection& connection);
  void watch(int epoll, Connection& connection, int operation);
  void give_up_overdue(int epoll);

  const Load& load_;
  Schedule& schedule_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::size_t active_ = 0;
  Tally tally_;
};

// Starts a connection's next request, or retires it.
void Worker::next(int epoll, Connection& connection) {
  while (start(connection)) {
    if (is_under_way(connection.advance())) {
      if (connection.fresh()) {
        watch(epoll, connection, EPOLL_CTL_ADD);
      } else if (connection.state() == Connection::State::kSend) {
        watch(epoll, connection, EPOLL_CTL_MOD);
      }
      return;
    }
    settle(connection);
  }
  connection.retire();
  --active_;
}

// Asks for the events that the connection waits for: room to send, while there is something left to send, or
// bytes.
void Worker::watch(int epoll, Connection& connection, int operation) {
  const bool sending = connection.state() == Connection::State::kSend;
  epoll_event event = {};
  event.events = EPOLLIN | (sending ? std::uint32_t{EPOLLOUT} : 0U);
  event.data.ptr = &connection;
  epoll_ctl(epoll, operation, connection.socket(), &event);
}

void Worker::give_up_overdue(int epoll) {
  const TimePoint now = system_clock().now();
  for (const auto& connection : connections_) {
    if (!is_under_way(connection->state()) || now - connection->started() < load_.timeout) continue;
    connection->give_up("timeout");
    settle(*connection);
    next(epoll, *connection);
  }
}

void Worker::run_epoll() {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  active_ = connections_.size();
  for (const auto& connection : connections_) next(epoll, *connection);
  std::array<epoll_event, 64> events;
  TimePoint looked = system_clock().now();
  while (active_ > 0) {
    const int count = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), kTick);
    for (int i = 0; i < count; ++i) {
      auto& connection = *static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      const bool sending = connection.state() == Connection::State::kSend;
      if (is_under_way(connection.advance())) {
        if (sending && connection.state() == Connection::State::kWait)
          watch(epoll, connection, EPOLL_CTL_MOD);
        continue;
      }
      settle(connection);
      next(epoll, connection);
    }
    if (system_clock().now() - looked > std::chrono::milliseconds(kTick)) {
      give_up_overdue(epoll);
      looked = system_clock().now();
    }
  }
  close(epoll);
}

Outcome merge(const std::vector<std::unique_ptr<Worker>>& workers) {
  Outcome all;
  TimePoint first = TimePoint::max();
  TimePoint last{};
  for (const auto& worker : workers) {
    const Tally& tally = worker->tally();
    first = std::min(first, tally.first);
    last = std::max(last, tally.last);
    all.latency.merge(tally.outcome.latency);
    for (const auto& [status, count] : tally.outcome.statuses) all.statuses[status] += count;
    for (const auto& [error, count] : tally.outcome.errors) all.errors[error] += count;
    all.warm += tally.outcome.warm;
    all.cold += tally.outcome.cold;
    all.bytes += tally.outcome.bytes;
  }
  if (last > first) all.elapsed = last - first;
  return all;
}

}  // namespace

std::uint64_t Outcome::failures() const {
  std::uint64_t count = 0;
  for (const auto& [status, times] : statuses) count += status >= 200 && status < 300 ? 0 : times;
  for (const auto& [error, times] : errors) count += times;
  return count;
}

Result<Outcome> run(const Load& load) {
  const auto address = Address::resolve(load.host, load.port);
  if (!address) return Unexpected(address.error());
  Schedule schedule(load);
  const bool blocking = load.connections <= kThreadEach;
  const int threads = blocking ? load.connections : std::clamp(load.threads, 1, load.connections);
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < threads; ++i) {
    const int share = (load.connections + i) / threads;  // the shares add up to all of them
    workers.push_back(std::make_unique<Worker>(load, *address, schedule, share, blocking));
  }
  {
    std::vector<std::jthread> running;
    for (const auto& worker : workers) {
      running.emplace_back(
          [&worker = *worker, blocking] { blocking ? worker.run_blocking() : worker.run_epoll(); });
    }
  }
  return merge(workers);
}

}  // namespace serverledge::bench
