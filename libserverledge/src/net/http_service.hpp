#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "net/answer_writer.hpp"
#include "net/connection_table.hpp"
#include "net/route_table.hpp"
#include "serverledge/net/http_server.hpp"

namespace serverledge {

/// Where a thread says that it is in a handler, for those who decide whether more threads are needed.
struct alignas(64) HandlerGauge {
  std::function<void()> before_long;  ///< called before what may take long; may be empty
  std::atomic<Duration::rep> since{
      0};  ///< when it entered the handler that it is in, on the machine's clock; 0: none
  std::atomic<std::uint64_t> quick{0};  ///< handlers that returned before they counted as blocked
};

/// A handler that has not returned after this long counts as blocked.
inline constexpr Duration kBlockedAfter = std::chrono::microseconds(500);

/// Serves one connection for as long as it has something to be served, and knows nothing of threads.
/// Thread-safe.
class HttpService {
 public:
  /// kAll: run handlers. kQuickOnly: all who may block are blocked: run only the handlers that never block,
  /// answer 503 to other requests.
  enum class Effort { kAll, kQuickOnly };

  HttpService(const HttpServerOptions& options, const RouteTable& routes, ConnectionTable& table,
              Clock& clock);

  /// Reads, answers and writes until the connection has nothing more; then it is released or closed. The
  /// caller owns it.
  void serve(Connection& connection, Effort effort, HandlerGauge& gauge);
  /// The connection's deadline has passed: gives it up. The caller owns it.
  void expire(Connection& connection, HandlerGauge& gauge);
  /// Has it say that there are too many connections, and close. The caller owns it, and serves it.
  void turn_away(Connection& connection);
  /// Closes it if no whole head of a request is there and nothing waits to be read. The caller owns it;
  /// false: it still does.
  bool close_if_idle(Connection& connection);

  /// From now on every answer ends its connection.
  void close_after_answers() noexcept { draining_ = true; }
  const HttpServerOptions& options() const noexcept { return options_; }

 private:
  enum class Go { kOn, kAway };  // kAway: the connection is no longer ours

  Go send(Connection& connection);
  Go receive(Connection& connection, HandlerGauge& gauge);
  Go linger(Connection& connection, HandlerGauge& gauge);
  Go pause(Connection& connection);
  Go close(Connection& connection);
  TimePoint deadline_of(Connection& connection) const;
  void meet_head(Connection& connection, Effort effort);
  void answer(Connection& connection, Effort effort, HandlerGauge& gauge);
  HttpResponse respond(Connection& connection, Effort effort, HandlerGauge& gauge);
  HttpResponse not_served(const RouteTable::Match& match) const;
  HttpResponse overloaded() const;
  void refuse(Connection& connection, HttpResponse response);
  void refuse_as_read(Connection& connection);

  const HttpServerOptions& options_;
  const RouteTable& routes_;
  ConnectionTable& table_;
  Clock& clock_;
  AnswerWriter writer_;
  std::atomic<bool> draining_{false};
};

}  // namespace serverledge
