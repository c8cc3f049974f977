#include "balance/forwarded_request.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "net/http_head.hpp"
#include "net/load_headers.hpp"
#include "net/percent.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

/// Fields of one connection (RFC 9110, 7.6.1), and such that the client sets itself.
constexpr std::array<std::string_view, 9> kOfConnection{
    "connection",        "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade"};

HttpHeaders end_to_end(const HttpHeaders& headers) {
  HttpHeaders kept;
  for (const HttpHeader& field : headers) {
    const bool of_connection =
        std::any_of(kOfConnection.begin(), kOfConnection.end(),
                    [&](std::string_view name) { return equals_ignoring_case(name, field.name); }) ||
        has_token(headers, "Connection", field.name);
    if (!of_connection) kept.add(field.name, field.value);
  }
  return kept;
}

/// The address without the port: "192.0.2.7:51312", "[::1]:51312".
std::string host_part(const std::string& address) {
  std::string host = address.substr(0, address.rfind(':'));
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  return host;
}

}  // namespace

HttpRequest forwarded_request(HttpRequest& received) {
  HttpRequest request;
  request.method = received.method;
  request.path = percent_encoded(received.path, "!$&'()*+,;=:@/");  // the server has decoded it
  request.query = received.query;
  request.headers = end_to_end(received.headers);
  if (!received.remote_address.empty()) {
    const std::string* before = request.headers.find("X-Forwarded-For");
    const std::string caller = host_part(received.remote_address);
    request.headers.set("X-Forwarded-For", before == nullptr ? caller : *before + ", " + caller);
  }
  request.body = std::move(received.body);
  request.peer_gone = received.peer_gone;
  return request;
}

std::optional<Resources> strip_answer(HttpResponse& answer) {
  const std::optional<Resources> available = available_resources(answer.headers);
  answer.headers = end_to_end(answer.headers);
  for (const char* name : {"Content-Length", "Serverledge-Node-Name", "Serverledge-Free-Mem",
                           "Serverledge-Free-CPU", "Serverledge-MAB-Request-ID"}) {
    answer.headers.remove(name);
  }
  return available;
}

HttpResponse balancer_refusal(int status, std::string_view message) {
  std::string body;
  JsonWriter(body).begin_object().key("Error").string(message).end_object();
  body.push_back('\n');
  HttpResponse answer = HttpResponse::json(status, std::move(body));
  if (status == 503) answer.headers.add("Retry-After", "1");
  return answer;
}

Duration longest_response_time(std::string_view body) {
  const auto document = JsonDocument::parse(body, {.built_depth = 1});
  if (!document) return Duration::zero();
  const auto value = document->root().find_any_case("QoSMaxRespT");
  return value ? from_seconds(std::max(value->as_double().value_or(0), 0.0)) : Duration::zero();
}

std::string prewarmed_function(std::string_view body) {
  const auto document = JsonDocument::parse(body, {.built_depth = 1});
  if (!document) return {};
  const auto value = document->root().find_any_case("Function");
  return std::string(value ? value->as_string().value_or("") : "");
}

}  // namespace serverledge
