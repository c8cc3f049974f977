#include "net/http_service.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "net/percent.hpp"

namespace serverledge {

namespace {

constexpr std::size_t kUnroutedBodyMax = 64 * 1024;  // read and dropped, to keep the connection
constexpr Duration kLinger = std::chrono::seconds(2);

HttpResponse error_response(int status, const std::string& message) {
  HttpResponse response = HttpResponse::json(status, fmt::format("{{\"Error\":\"{}\"}}\n", message));
  if (status == 503) response.headers.set("Retry-After", "1");
  return response;
}

void long_begins(const HandlerGauge& gauge) {
  if (gauge.before_long) gauge.before_long();
}

}  // namespace

HttpService::HttpService(const HttpServerOptions& options, const RouteTable& routes, ConnectionTable& table,
                         Clock& clock)
    : options_(options),
      routes_(routes),
      table_(table),
      clock_(clock),
      writer_([&options](std::string_view what) {
        if (options.log) options.log("exception in a handler", what);
      }) {}

void HttpService::serve(Connection& connection, Effort effort, HandlerGauge& gauge) {
  connection.exhausted = false;
  Go go = Go::kOn;
  while (go == Go::kOn) {
    if (connection.has_output()) {
      go = send(connection);
    } else if (connection.lingering) {
      go = linger(connection, gauge);
    } else {
      switch (connection.reader.advance()) {
        case RequestReader::State::kHeadWhole:
          meet_head(connection, effort);
          break;
        case RequestReader::State::kWhole:
          answer(connection, effort, gauge);
          break;
        case RequestReader::State::kRefused:
          refuse_as_read(connection);
          break;
        case RequestReader::State::kNeedsHead:
        case RequestReader::State::kNeedsBody:
          go = connection.exhausted ? pause(connection) : receive(connection, gauge);
          break;
      }
    }
  }
}

HttpService::Go HttpService::send(Connection& connection) {
  switch (connection.flush()) {
    case Connection::Flush::kBroken:
      return close(connection);
    case Connection::Flush::kBlocked:
      table_.watch_writable(connection, true);
      return pause(connection);
    case Connection::Flush::kDone:
      break;
  }
  table_.watch_writable(connection, false);
  if (!connection.closing) return Go::kOn;
  if (!connection.untidy && !connection.reader.has_more()) return close(connection);
  connection.shut();
  connection.lingering = true;
  connection.set_deadline(later(clock_.now(), kLinger));
  return Go::kOn;
}

HttpService::Go HttpService::receive(Connection& connection, HandlerGauge& gauge) {
  const bool had_begun = connection.reader.has_begun();
  switch (connection.read()) {
    case Connection::Read::kEnd:
      return close(connection);
    case Connection::Read::kNothing:
      return Go::kOn;
    case Connection::Read::kSome:
      break;
  }
  if (!had_begun) connection.reader.request().arrival = clock_.now();
  if (!connection.exhausted) long_begins(gauge);  // it may be a body without end
  // The end of the stream was announced together with these bytes: it will not be announced again.
  if (connection.gone()) connection.exhausted = false;
  return Go::kOn;
}

HttpService::Go HttpService::linger(Connection& connection, HandlerGauge& gauge) {
  if (clock_.now() >= connection.deadline()) return close(connection);
  switch (connection.discard()) {
    case Connection::Read::kEnd:
      return close(connection);
    case Connection::Read::kNothing:
      return table_.release(connection) ? Go::kAway : Go::kOn;
    case Connection::Read::kSome:
      long_begins(gauge);
      break;
  }
  return Go::kOn;
}

HttpService::Go HttpService::pause(Connection& connection) {
  connection.set_deadline(deadline_of(connection));
  connection.idle.store(!connection.has_output() && !connection.reader.has_begun(),
                        std::memory_order_relaxed);
  if (table_.release(connection)) return Go::kAway;
  connection.exhausted = false;
  return Go::kOn;
}

TimePoint HttpService::deadline_of(Connection& connection) const {
  if (connection.has_output()) return later(clock_.now(), options_.write_timeout);
  if (connection.reader.state() == RequestReader::State::kNeedsBody) {
    return later(connection.body_since, options_.body_timeout);
  }
  if (connection.reader.has_begun()) return later(connection.reader.request().arrival, options_.head_timeout);
  return later(clock_.now(), options_.idle_timeout);
}

HttpService::Go HttpService::close(Connection& connection) {
  table_.close(connection);
  return Go::kAway;
}

void HttpService::meet_head(Connection& connection, Effort effort) {
  RequestReader& reader = connection.reader;
  connection.match = routes_.find(reader.request().method, reader.request().path);
  const Route* route = connection.match.route;
  reader.admit(route == nullptr ? kUnroutedBodyMax : route->options.body_max);
  if (reader.advance() != RequestReader::State::kNeedsBody) return;

  connection.body_since = clock_.now();
  const bool will_run = route != nullptr && (effort == Effort::kAll || route->options.quick);
  if (effort == Effort::kQuickOnly && !will_run) {
    refuse(connection, overloaded());
  } else if (reader.expects_continue() && route == nullptr) {
    refuse(connection, not_served(connection.match));
  } else if (reader.expects_continue() && !reader.has_more()) {
    connection.head = "HTTP/1.1 100 Continue\r\n\r\n";
  }
}

void HttpService::answer(Connection& connection, Effort effort, HandlerGauge& gauge) {
  RequestReader& reader = connection.reader;
  const std::string method = reader.request().method;
  AnswerWriter::Asked asked{method, reader.http_1_0(), reader.keep_alive()};
  const auto make = [&] {
    HttpResponse response = respond(connection, effort, gauge);
    if (draining_) asked.keep_alive = false;
    return response;
  };
  writer_.write(asked, std::cref(make), connection.head, connection.body);
  connection.closing = !asked.keep_alive;
  reader.next();
  reader.request().arrival = clock_.now();  // of a request that is there already
}

HttpResponse HttpService::respond(Connection& connection, Effort effort, HandlerGauge& gauge) {
  const Route* route = connection.match.route;
  if (route == nullptr) return not_served(connection.match);
  if (effort == Effort::kQuickOnly && !route->options.quick) return overloaded();
  HttpRequest& request = connection.reader.request();
  request.path = percent_decoded(request.path, PlusIs::kItself);
  request.path_parameters = std::move(connection.match.parameters);
  request.remote_address = connection.address();
  request.peer_gone = connection.gone_token();

  // Says that the thread is in a handler for as long as it is, also if it throws.
  struct Presence {
    HandlerGauge& gauge;
    const TimePoint since = system_clock().now();
    explicit Presence(HandlerGauge& of) : gauge(of) { gauge.since.store(since.time_since_epoch().count()); }
    ~Presence() {
      gauge.since.store(0);
      if (system_clock().now() - since < kBlockedAfter) gauge.quick.fetch_add(1, std::memory_order_relaxed);
    }
  };
  long_begins(gauge);
  const Presence presence(gauge);
  return route->handler(request);
}

HttpResponse HttpService::not_served(const RouteTable::Match& match) const {
  if (match.allowed.empty()) return HttpResponse::json(404, "{\"message\":\"Not Found\"}\n");
  HttpResponse response = HttpResponse::json(405, "{\"message\":\"Method Not Allowed\"}\n");
  response.headers.set("Allow", match.allowed);
  return response;
}

HttpResponse HttpService::overloaded() const {
  return error_response(503, fmt::format("the node is busy: all its {} threads are in use, try again later",
                                         options_.max_threads));
}

void HttpService::refuse_as_read(Connection& connection) {
  const auto& [status, message] = connection.reader.refusal();
  const bool unrouted = status == 413 && connection.match.route == nullptr;
  refuse(connection, unrouted ? not_served(connection.match) : error_response(status, message));
}

void HttpService::refuse(Connection& connection, HttpResponse response) {
  const std::string method = connection.reader.request().method;
  AnswerWriter::Asked asked{method, connection.reader.http_1_0(), false};
  writer_.write(
      asked, [&] { return std::move(response); }, connection.head, connection.body);
  connection.closing = true;
  connection.untidy = true;
}

void HttpService::turn_away(Connection& connection) {
  refuse(connection,
         error_response(503, fmt::format("the node serves {} connections and takes no more at the moment",
                                         options_.max_connections)));
}

void HttpService::expire(Connection& connection, HandlerGauge& gauge) {
  const bool waits = !connection.has_output() && !connection.lingering && connection.reader.has_begun();
  if (!waits) {
    close(connection);
    return;
  }
  refuse(connection, error_response(408, "the request did not arrive in time"));
  serve(connection, Effort::kQuickOnly, gauge);
}

bool HttpService::close_if_idle(Connection& connection) {
  const bool idle = !connection.has_output() &&
                    connection.reader.state() == RequestReader::State::kNeedsHead && !connection.has_unread();
  const bool over = idle || connection.lingering;
  if (over) close(connection);
  return over;
}

}  // namespace serverledge
