#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/net/address_ranges.hpp"
#include "serverledge/net/http_message.hpp"

namespace serverledge {

/// Where a server listens, and its limits.
struct HttpServerOptions {
  std::string address =
      "127.0.0.1";        ///< an address or name of this host; "0.0.0.0" and "::" are all interfaces
  int port = 0;           ///< 0: any free one
  std::string unix_path;  ///< set: a Unix socket at this path instead; a stale one is replaced

  /// Peers whose address lies in one of these are not served: their connections are closed unread.
  std::shared_ptr<const AddressRanges> refused = {};

  /// Handlers run on min_threads workers; more, up to max_threads, are started only while most of them are
  /// blocked in handlers and work has been waiting: for short calls few threads beat many.
  std::size_t min_threads = std::max(2U, std::thread::hardware_concurrency());
  std::size_t max_threads = 512;
  Duration thread_idle_timeout = std::chrono::seconds(10);  ///< a further worker without work leaves
  /// With all max_threads blocked, a request that has waited this long is answered 503 with Retry-After.
  Duration patience = std::chrono::milliseconds(500);

  /// At the limit a new connection displaces the longest idle one; if none is idle it is answered 503 and
  /// closed.
  std::size_t max_connections = 10000;
  std::size_t head_max = 16 * 1024;                   ///< request line and headers (431 beyond)
  std::size_t path_max = 512;                         ///< the path before its query (414 beyond)
  std::size_t body_budget = std::size_t{512} << 20U;  ///< bytes of all bodies held at once (503 beyond)
  Duration head_timeout = std::chrono::seconds(10);  ///< first byte of a request to the end of its head (408)
  Duration body_timeout = std::chrono::seconds(60);  ///< end of the head to the end of the body (408)
  Duration idle_timeout = std::chrono::seconds(60);  ///< a connection without a request is closed
  Duration write_timeout = std::chrono::seconds(30);  ///< an answer that the peer does not take

  /// Told of what an operator should know: an exception out of a handler, failing accepts, overload. `event`
  /// is a few fixed words, `detail` says the rest. Called from any thread of the server; must not block or
  /// throw.
  std::function<void(std::string_view event, std::string_view detail)> log;
};

struct HttpRouteOptions {
  std::size_t body_max = std::size_t{6} << 20U;  ///< 413 beyond, also for chunked bodies, while reading
  /// The handler never blocks: it is run even when all workers are blocked (health, status, metrics).
  bool quick = false;
};

/// What a server is doing, for metrics.
struct HttpServerLoad {
  std::size_t connections = 0;
  std::size_t threads = 0;  ///< workers
  std::size_t running = 0;  ///< handlers being run
};

/// An HTTP/1.1 server on sockets of its own. A connection holds a thread only while a whole request of it is
/// being answered: idle, half-sent and slowly reading peers hold none. Pipelining, chunked bodies, Expect:
/// 100-continue and HTTP/1.0 are served; malformed and ambiguous framing is refused with 400. No route: 404;
/// a route of another method: 405, both with {"message": ...}; other refusals carry {"Error": ...}. Leaves
/// signals, SIGPIPE and the rest of the process alone; its descriptors are not inherited. Thread-safe, except
/// that routes come before start().
class HttpServer {
 public:
  using Options = HttpServerOptions;
  /// Run on a worker; may block. An exception out of it becomes a 500 and is logged.
  using Handler = std::function<HttpResponse(HttpRequest&)>;

  HttpServer(Options options, Clock& clock);
  /// Stops.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Adds a route, e.g. ("POST", "/invoke/:fun"): a segment with a colon matches any one non-empty segment. A
  /// fixed segment goes before a parameter. Call before start().
  void route(std::string method, std::string_view pattern, Handler handler, HttpRouteOptions options = {});

  /// Binds, listens, starts the threads and returns the port (0 for a Unix socket). kUnavailable if the
  /// address cannot be had, kInvalid if it makes no sense. A server that was stopped may be started again.
  Result<int> start();

  /// Stops accepting, closes what is idle, and waits until what runs has been answered (with Connection:
  /// close), at most `grace`. Returns the number of requests that were still running then. The server still
  /// has to be stopped.
  std::size_t drain(Duration grace);

  /// Closes everything at once, fires every peer_gone and returns when the handlers that were running have
  /// returned: no thread is left. Not to be called from a handler. Idempotent.
  void stop();

  HttpServerLoad load() const;

 private:
  class Machine;
  std::unique_ptr<Machine> machine_;
};

}  // namespace serverledge
