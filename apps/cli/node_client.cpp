#include "node_client.hpp"

#include <fmt/format.h>
#include <httplib.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace serverledge::cli {
namespace {

constexpr std::chrono::seconds kConnectTimeout(5);
constexpr Duration kGetLimit = std::chrono::seconds(60);

// An IPv6 address may be given in brackets, as in a URL.
std::string without_brackets(const std::string& host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') return host.substr(1, host.size() - 2);
  return host;
}

// What went wrong, for a person.
std::string reason(httplib::Error error) {
  switch (error) {
    case httplib::Error::Connection:
      return "it cannot be reached (is the node running?)";
    case httplib::Error::ConnectionTimeout:
      return fmt::format("no connection within {} s", kConnectTimeout.count());
    case httplib::Error::Read:
      return "the connection ended, or the time for the answer, before the answer had come";
    case httplib::Error::Write:
      return "the request could not be sent";
    case httplib::Error::Canceled:
      return "the answer took too long";
    default:
      return httplib::to_string(error);
  }
}

}  // namespace

struct NodeClient::Connection {
  Connection(const std::string& host, int port) : http(host, port) {
    http.set_keep_alive(true);
    http.set_tcp_nodelay(true);
    http.set_url_encode(false);  // paths are made with percent_encoded()
    http.set_connection_timeout(kConnectTimeout);
  }
  httplib::Client http;
};

NodeClient::NodeClient(Options options) : options_(std::move(options)) {
  const std::string host = without_brackets(options_.host);
  const bool is_ipv6 = host.find(':') != std::string::npos;
  name_ = fmt::format(fmt::runtime(is_ipv6 ? "[{}]:{}" : "{}:{}"), host, options_.port);
  connection_ = std::make_unique<Connection>(host, options_.port);
}

NodeClient::~NodeClient() = default;

Result<HttpResponse> NodeClient::get(const std::string& path) { return exchange("GET", path, {}, kGetLimit); }

Result<HttpResponse> NodeClient::post(const std::string& path, std::string body, Duration limit) {
  return exchange("POST", path, std::move(body), limit);
}

Result<HttpResponse> NodeClient::exchange(const char* method, const std::string& path, std::string body,
                                          Duration limit) {
  const TimePoint start = system_clock().now();
  const TimePoint deadline = later(start, limit);
  HttpResponse answer;
  httplib::Request request;
  request.method = method;
  request.path = path;
  request.headers = {{"Host", name_}};
  if (!body.empty()) request.headers.emplace("Content-Type", "application/json");
  request.body = std::move(body);
  // The timeouts are those of one read or write; an answer that trickles ends here.
  request.content_receiver = [&](const char* data, std::size_t size, std::uint64_t /*at*/,
                                 std::uint64_t /*of*/) {
    answer.body.append(data, size);
    return system_clock().now() < deadline;
  };
  const auto whole_seconds =
      std::max(std::chrono::seconds(1), std::chrono::ceil<std::chrono::seconds>(limit));
  connection_->http.set_read_timeout(whole_seconds);
  connection_->http.set_write_timeout(whole_seconds);
  const httplib::Result got = connection_->http.send(request);
  if (options_.verbose) {
    fmt::print(stderr, "{} http://{}{} ({} bytes): {} after {:.2f} ms\n", method, name_, path,
               request.body.size(),
               got ? fmt::format("{} ({} bytes)", got->status, answer.body.size()) : reason(got.error()),
               seconds(system_clock().now() - start) * 1000);
  }
  if (!got)
    return Unexpected(ErrorCode::kUnavailable,
                      fmt::format("no answer from {}: {}", name_, reason(got.error())));
  answer.status = got->status;
  for (const auto& [name, value] : got->headers) answer.headers.add(name, value);
  return answer;
}

}  // namespace serverledge::cli
