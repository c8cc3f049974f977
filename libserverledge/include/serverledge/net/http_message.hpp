#pragma once

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serverledge/core/clock.hpp"

namespace serverledge {

/// One header field, as sent: neither decoded nor folded.
struct HttpHeader {
  std::string name;
  std::string value;
  bool operator==(const HttpHeader&) const = default;
};

/// Header fields in their order. Names are compared without case. A value type, thread-compatible.
class HttpHeaders {
 public:
  HttpHeaders() = default;
  HttpHeaders(std::initializer_list<HttpHeader> fields) : fields_(fields) {}

  /// The first value of that name; nullptr if there is none. Valid until the headers are changed.
  const std::string* find(std::string_view name) const noexcept;
  /// Appends a field, also if there is one of that name.
  void add(std::string name, std::string value);
  /// Replaces all fields of that name by this one.
  void set(std::string name, std::string value);
  /// Removes all fields of that name.
  void remove(std::string_view name);

  std::size_t size() const noexcept { return fields_.size(); }
  bool empty() const noexcept { return fields_.empty(); }
  auto begin() const noexcept { return fields_.begin(); }
  auto end() const noexcept { return fields_.end(); }
  bool operator==(const HttpHeaders&) const = default;

 private:
  std::vector<HttpHeader> fields_;
};

/// A request: what a server's handler is given, and what a client sends.
struct HttpRequest {
  std::string method = "GET";
  std::string path = "/";  ///< without query. Server: percent-decoded. Client: as it goes on the wire
  std::string query;       ///< what follows '?', as sent; may be empty
  HttpHeaders headers;
  std::string body;  ///< a handler may move it out

  // Set by the server.
  std::vector<std::pair<std::string, std::string>> path_parameters;  ///< "/invoke/:fun": {"fun", "hello"}
  std::string remote_address;  ///< "192.0.2.7:51312"; empty on a Unix socket
  TimePoint arrival{};         ///< when its first byte was read

  /// Server: fires when the peer hung up, which includes closing only its sending side (as in Go's net/http:
  /// the two cannot be told apart); an answer is then still written if the handler gives one. Client: when it
  /// fires, the call is given up with kCancelled. Callbacks run on a thread of the server and must neither
  /// block nor throw.
  std::stop_token peer_gone;

  /// Value of `:name` in the route's pattern; empty if the pattern has none of that name.
  std::string_view path_parameter(std::string_view name) const noexcept;
  /// Percent-decoded value of the first `name=value` (or bare `name`: "") in the query; nullopt if absent.
  std::optional<std::string> query_parameter(std::string_view name) const;
};

/// An answer. Content-Length, Connection and framing are the transport's and not among the headers to be set.
struct HttpResponse {
  int status = 200;
  std::string content_type;  ///< empty: none is sent
  HttpHeaders headers;       ///< without Content-Type when received by a client: see content_type
  std::string body;

  /// text/plain in UTF-8.
  static HttpResponse text(int status, std::string body);
  /// application/json in UTF-8; the body is sent as it is.
  static HttpResponse json(int status, std::string body);
};

}  // namespace serverledge
