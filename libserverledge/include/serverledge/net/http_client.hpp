#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/net/http_message.hpp"

namespace serverledge {

/// Whom to call: a host and port, or a Unix socket.
struct HttpTarget {
  std::string
      host;  ///< an address, or a name (resolved at each connecting, with the resolver's own timeouts)
  int port = 0;
  std::string unix_path;  ///< set: a Unix socket at this path; `Host: localhost` is sent
  int lane = 0;           ///< connections of one lane are kept for its requests

  static HttpTarget tcp(std::string host, int port) { return {std::move(host), port, {}, 0}; }
  static HttpTarget unix_socket(std::string path) { return {{}, 0, std::move(path), 0}; }
  /// "192.0.2.7:1323", "[::1]:1323" or the path, for messages and the Host header.
  std::string name() const;

  auto operator<=>(const HttpTarget&) const = default;
};

struct HttpClientOptions {
  std::size_t idle_per_target = 64;                   ///< kept-alive connections; the longest idle goes first
  Duration idle_timeout = std::chrono::seconds(20);   ///< below the idle timeout of the servers that we call
  std::size_t response_max = std::size_t{64} << 20U;  ///< bytes of an answer's body (kTooLarge beyond)
};

/// Takes the body of an answer piece by piece, as it comes.
using HttpBodySink = std::function<void(std::string_view piece)>;

/// HTTP/1.1 client with a pool of kept-alive connections per target, the last used first. Starts no thread: a
/// call is made on its caller's. Thread-safe.
class HttpClient {
 public:
  using Options = HttpClientOptions;
  explicit HttpClient(Options options, Clock& clock);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Sends a request and reads the whole answer, whatever its status; chunked answers and such that end with
  /// the connection are read too. Host, Content-Length and Connection are ours; other headers go as given.
  ///
  /// Failures: kUnavailable: provably not processed (no connection within `connect_timeout`, or it broke
  /// before the request was sent whole). kUnknownOutcome: sent, but no whole answer came. kDeadline:
  /// `deadline` passed, at whatever stage. kTooLarge: the answer exceeds the limit. kCancelled:
  /// `request.peer_gone` fired. A kept-alive connection that turns out to be closed by the peer is replaced
  /// once, silently, if the request was not processed or is a GET.
  ///
  /// With a `sink` the body of an answer of success (2xx) goes there and not into the answer, and a chunked
  /// one may be of any size.
  Result<HttpResponse> request(const HttpTarget& target, const HttpRequest& request, Duration connect_timeout,
                               TimePoint deadline, const HttpBodySink& sink = {});

  /// Closes the connections that are idle, of one target or of all.
  void close_idle(const HttpTarget& target);
  void close_idle();

 private:
  class Pool;
  std::unique_ptr<Pool> pool_;
};

}  // namespace serverledge
