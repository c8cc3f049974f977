#include "node_client.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

namespace serverledge::cli {
namespace {

constexpr Duration kConnectTimeout = std::chrono::seconds(5);
constexpr Duration kGetLimit = std::chrono::seconds(60);

// An IPv6 address may be given in brackets, as in a URL.
std::string without_brackets(const std::string& host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') return host.substr(1, host.size() - 2);
  return host;
}

}  // namespace

NodeClient::NodeClient(Options options)
    : options_(std::move(options)),
      target_(HttpTarget::tcp(without_brackets(options_.host), options_.port)),
      http_({}, system_clock()) {}

Result<HttpResponse> NodeClient::get(const std::string& path) {
  HttpRequest request;
  request.path = path;
  return exchange(request, kGetLimit);
}

Result<HttpResponse> NodeClient::post(const std::string& path, std::string body, Duration limit) {
  HttpRequest request;
  request.method = "POST";
  request.path = path;
  request.headers.set("Content-Type", "application/json");
  request.body = std::move(body);
  return exchange(request, limit);
}

Result<HttpResponse> NodeClient::exchange(const HttpRequest& request, Duration limit) {
  const TimePoint start = system_clock().now();
  auto answer = http_.request(target_, request, kConnectTimeout, later(start, limit));
  if (options_.verbose) {
    const double milliseconds = seconds(system_clock().now() - start) * 1000;
    fmt::print(
        stderr, "{} http://{}{} ({} bytes): {} after {:.2f} ms\n", request.method, target_.name(),
        request.path, request.body.size(),
        answer ? fmt::format("{} ({} bytes)", answer->status, answer->body.size()) : answer.error().message,
        milliseconds);
  }
  if (!answer) {
    return Unexpected(answer.error().code,
                      fmt::format("no answer from {}: {}", target_.name(), answer.error().message));
  }
  return answer;
}

std::string path_segment(std::string_view text) {
  std::string segment;
  for (const char byte : text) {
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') || byte == '-' || byte == '_' || byte == '.' ||
                       byte == '~';
    if (plain) {
      segment += byte;
    } else {
      segment += fmt::format("%{:02X}", static_cast<unsigned char>(byte));
    }
  }
  return segment;
}

}  // namespace serverledge::cli
