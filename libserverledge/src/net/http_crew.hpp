#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <list>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>

#include "net/body_budget.hpp"
#include "net/connection_table.hpp"
#include "net/http_service.hpp"

namespace serverledge {

/// The threads of a running server. The *workers* serve connections; the leader of them (see ConnectionTable)
/// waits for events, reads what has come, and offers the lead before it runs a handler. The *keeper* accepts,
/// gives up connections whose time has passed, starts further workers when they are needed and, when there
/// may be no more, answers in their place that the node is busy; it runs no handler that may block.
/// Thread-safe.
class HttpCrew {
 public:
  HttpCrew(const HttpServerOptions& options, const RouteTable& routes, FileDescriptor listener, Clock& clock);
  /// Stops.
  ~HttpCrew();
  HttpCrew(const HttpCrew&) = delete;
  HttpCrew& operator=(const HttpCrew&) = delete;

  /// Starts the threads. Throws std::system_error if there can be none.
  void start();
  /// See HttpServer; not at the same time as itself.
  std::size_t drain(Duration grace);
  void stop();
  HttpServerLoad load() const;

 private:
  struct Worker {
    HandlerGauge gauge;
    bool leads = false;  // its thread's own
    std::thread thread;
  };
  struct Waiting {
    Connection* connection;
    TimePoint since;
  };

  // The workers (http_crew.cpp).
  bool start_worker();
  void work(Worker& worker);
  std::size_t wait_for_events(Worker& worker, std::span<Connection*> claimed);
  void offer_lead(Worker& worker);
  Connection* take_waiting();
  void push_waiting(std::span<Connection* const> connections);
  void wake_for_waiting();
  void give_up(Connection& connection);
  void serve(Connection& connection, HttpService::Effort effort, HandlerGauge& gauge);
  bool may_leave(Worker& worker);
  void wake_keeper() const;
  void note(std::string_view event, std::string_view detail) const;

  // The keeper (http_keeper.cpp).
  void keep();
  int keeper_timeout(TimePoint now) const;
  void close_listener();
  void accept_all();
  void welcome(FileDescriptor fd, std::string from);
  bool displace_idle();
  /// The connection at rest whose deadline is the first after that; null if there is none.
  Connection* longest_idle(TimePoint after);
  bool watches(TimePoint now);
  void watch_workers(TimePoint now);
  bool workers_are_blocked(TimePoint now);
  void serve_in_their_place(TimePoint now);
  void sweep();
  void join_leavers();
  void note_overload(std::string_view detail);

  static constexpr std::size_t kTurnedAwayMax = 64;  // connections beyond the limit that are being told so

  const HttpServerOptions& options_;
  Clock& clock_;
  BodyBudget budget_;
  const RequestReader::Limits limits_;
  ConnectionTable table_;
  HttpService service_;
  FileDescriptor listener_;   // the keeper's
  FileDescriptor keeper_fd_;  // an event fd that wakes the keeper
  std::thread keeper_;
  HandlerGauge keeper_gauge_;

  std::atomic<bool> stopping_{false};
  std::atomic<bool> draining_{false};
  std::atomic<bool> keeper_watches_{false};
  std::atomic<std::ptrdiff_t> idle_{0};  // workers that wait for events or the lead, or are about to
  std::atomic<std::size_t> waiting_count_{0};
  std::atomic<std::size_t> arriving_{0};  // workers that were started, and do not run yet

  mutable std::mutex mutex_;
  std::condition_variable changed_;  // drained, or stopping
  std::deque<Waiting> waiting_;      // claimed, and not yet being served
  std::list<Worker> workers_;
  std::list<Worker> leavers_;  // to be joined
  bool accepting_ = true;

  // The keeper's own.
  TimePoint next_sweep_{};
  TimePoint accept_again_{};  // after accepting has failed
  TimePoint watch_until_{};
  TimePoint overload_noted_{};
  std::uint64_t quick_seen_ = 0;
};

}  // namespace serverledge
