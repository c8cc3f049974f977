#include "balance/forwarded_request.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <utility>

#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

/// Fields of one connection (RFC 9110, 7.6.1), and such that the client sets itself.
constexpr std::array<std::string_view, 9> kOfConnection{
    "connection",        "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade"};

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

/// Of `headers`, those that Connection names as belonging to it, in lower case.
std::string named_by_connection(const HttpHeaders& headers) {
  std::string named;
  for (const HttpHeader& field : headers) {
    if (lower_case(field.name) == "connection") named.append(",").append(lower_case(field.value));
  }
  std::erase_if(named, [](char c) { return c == ' ' || c == '\t'; });
  return named.append(",");
}

HttpHeaders end_to_end(const HttpHeaders& headers) {
  const std::string named = named_by_connection(headers);
  HttpHeaders kept;
  for (const HttpHeader& field : headers) {
    const std::string name = lower_case(field.name);
    const bool of_connection =
        std::find(kOfConnection.begin(), kOfConnection.end(), name) != kOfConnection.end() ||
        named.find("," + name + ",") != std::string::npos;
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

/// The path as it goes on the wire: the server has decoded it.
std::string encoded(std::string_view path) {
  constexpr std::string_view kPlain = "-._~!$&'()*+,;=:@/";
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if ((std::isalnum(byte) != 0 && byte < 0x80) || kPlain.find(c) != std::string_view::npos) {
      out.push_back(c);
    } else {
      out.append({'%', kDigits[byte >> 4U], kDigits[byte & 15U]});
    }
  }
  return out;
}

std::optional<double> amount(const HttpHeaders& headers, std::string_view name) {
  const std::string* text = headers.find(name);
  if (text == nullptr) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || !std::isfinite(value)) return std::nullopt;
  return std::clamp(value, 0.0, 1e9);
}

}  // namespace

HttpRequest forwarded_request(HttpRequest& received) {
  HttpRequest request;
  request.method = received.method;
  request.path = encoded(received.path);
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
  const auto memory = amount(answer.headers, "Serverledge-Free-Mem");
  const auto cores = amount(answer.headers, "Serverledge-Free-CPU");
  answer.headers = end_to_end(answer.headers);
  for (const char* name : {"Content-Length", "Serverledge-Node-Name", "Serverledge-Free-Mem",
                           "Serverledge-Free-CPU", "Serverledge-MAB-Request-ID"}) {
    answer.headers.remove(name);
  }
  if (!memory || !cores) return std::nullopt;
  return Resources{static_cast<std::int64_t>(*memory), static_cast<std::int64_t>(*cores * 1000)};
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
