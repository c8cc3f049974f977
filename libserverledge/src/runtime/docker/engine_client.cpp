#include "runtime/docker/engine_client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "runtime/docker/tls_request.hpp"

namespace serverledge {
namespace {

constexpr auto kDialPatience = std::chrono::seconds(2);
constexpr std::size_t kAnswerMax = std::size_t{32} << 20U;
constexpr std::pair<int, int> kWanted{1, 41};
constexpr std::pair<int, int> kOldest{1, 40};  // Podman 3 and 4 say this one

std::optional<std::pair<int, int>> version_of(std::string_view text) {
  std::pair<int, int> version;
  const char* end = text.data() + text.size();
  const auto major = std::from_chars(text.data(), end, version.first);
  if (major.ec != std::errc() || major.ptr == end || *major.ptr != '.') return std::nullopt;
  const auto minor = std::from_chars(major.ptr + 1, end, version.second);
  if (minor.ec != std::errc() || minor.ptr != end) return std::nullopt;
  return version;
}

/// "Docker 20.10.24" of an answer to /version.
std::string engine_name(const JsonValue& version) {
  std::string name = "Docker";
  if (const auto parts = version.find("Components"); parts && parts->size() > 0) {
    const std::string first = text_member(parts->at(0), "Name");
    if (first.find("Podman") != std::string::npos) name = "Podman";
  }
  return fmt::format("{} {:.60}", name, to_utf8(text_member(version, "Version")));
}

/// The engine's message in the body of an error.
std::string message_of(const HttpResponse& response) {
  if (const Result<JsonDocument> document = JsonDocument::parse(response.body)) {
    if (const std::string message = text_member(document->root(), "message"); !message.empty())
      return message;
    if (const std::string cause = text_member(document->root(), "cause"); !cause.empty()) return cause;
  }
  return fmt::format("status {}", response.status);
}

Error error_of(const HttpResponse& response) {
  Error error{ErrorCode::kUnavailable, message_of(response), {}};
  if (error.message.find("no space left on device") != std::string::npos) {
    error.code = ErrorCode::kDiskFull;
  } else if (response.status == 404) {
    error.code = ErrorCode::kNotFound;
  } else if (response.status == 409) {
    error.code = ErrorCode::kExists;
  } else if (response.status / 100 == 4) {
    error.code = ErrorCode::kInvalid;
  }
  error.message.insert(0, "the container engine says: ");
  return error;
}

/// What became of a request that got no answer, in words about the engine.
Error without_answer(Error error, const HttpTarget& target) {
  error.detail = std::exchange(error.message, {});
  switch (error.code) {
    case ErrorCode::kDeadline:
      error.message = fmt::format("the container engine at {} does not answer", target.name());
      break;
    case ErrorCode::kCancelled:
      error.message = "the container runtime has been shut down";
      break;
    case ErrorCode::kInvalid:
      error.message =
          fmt::format("the container engine at {} is not trusted: {}", target.name(), error.detail);
      error.code = ErrorCode::kUnavailable;
      break;
    case ErrorCode::kTooLarge:
      error.message = fmt::format("the container engine at {} answers too much", target.name());
      break;
    default:
      error.message =
          fmt::format("the container engine at {} cannot be reached, or broke off", target.name());
      error.code = ErrorCode::kUnavailable;
  }
  return error;
}

HttpClientOptions client_options() {
  HttpClientOptions options;
  options.idle_per_target = 8;
  options.response_max = kAnswerMax;
  return options;
}

}  // namespace

EngineClient::EngineClient(HttpTarget target, std::optional<TlsIdentity> tls, Clock& clock)
    : target_(std::move(target)), tls_(std::move(tls)), clock_(clock), http_(client_options(), clock) {}

Result<HttpResponse> EngineClient::send(HttpRequest request, bool cleaning, TimePoint deadline,
                                        const HttpBodySink& sink) {
  if (!cleaning) request.peer_gone = cancel_.get_token();
  Result<HttpResponse> response =
      tls_ ? tls_request(target_, *tls_, request, client_options(), deadline, sink, clock_)
           : http_.request(target_, request, kDialPatience, deadline, sink);
  if (response && response->status / 100 == 2) return response;
  if (response) return Unexpected(error_of(*response));
  const std::scoped_lock lock(mutex_);
  api_.clear();  // what answers next may be another version
  return Unexpected(without_answer(std::move(response).error(), target_));
}

Result<EngineVersion> EngineClient::connect(TimePoint deadline) { return negotiate(false, deadline); }

Result<EngineVersion> EngineClient::negotiate(bool cleaning, TimePoint deadline) {
  HttpRequest request;
  request.path = "/version";
  const Result<HttpResponse> response = send(std::move(request), cleaning, deadline, {});
  if (!response) return Unexpected(response.error());
  const Result<JsonDocument> document = JsonDocument::parse(response->body);
  const auto newest = document ? version_of(text_member(document->root(), "ApiVersion"))
                               : std::optional<std::pair<int, int>>();
  if (!newest) {
    return Unexpected(ErrorCode::kUnsupported,
                      fmt::format("what answers at {} is no container engine", target_.name()));
  }
  const auto oldest = version_of(text_member(document->root(), "MinAPIVersion")).value_or(kOldest);
  const auto chosen = std::max(std::min(*newest, kWanted), oldest);
  const EngineVersion version{engine_name(document->root()),
                              fmt::format("{}.{}", chosen.first, chosen.second)};
  if (*newest < kOldest) {
    return Unexpected(ErrorCode::kUnsupported,
                      fmt::format("{} speaks version {}.{} of the API, and {}.{} is needed", version.name,
                                  newest->first, newest->second, kOldest.first, kOldest.second));
  }
  podman_ = version.name.starts_with("Podman");
  const std::scoped_lock lock(mutex_);
  api_ = version.api;
  return version;
}

Result<std::string> EngineClient::api(bool cleaning, TimePoint deadline) {
  {
    const std::scoped_lock lock(mutex_);
    if (!api_.empty()) return api_;
  }
  Result<EngineVersion> version = negotiate(cleaning, deadline);
  if (!version) return Unexpected(std::move(version).error());
  return std::move(version->api);
}

Result<HttpResponse> EngineClient::request(EngineCall call, TimePoint deadline, const HttpBodySink& sink) {
  const TimePoint until = std::min(deadline, later(clock_.now(), call.patience));
  Result<std::string> version = api(call.cleaning, until);
  if (!version) return Unexpected(std::move(version).error());
  HttpRequest request;
  request.method = std::move(call.method);
  request.path = fmt::format("/v{}{}", *version, call.path);
  request.query = std::move(call.query);
  request.body = std::move(call.body);
  if (!request.body.empty()) request.headers.set("Content-Type", std::string(call.content_type));
  if (!call.registry_auth.empty()) request.headers.set("X-Registry-Auth", std::move(call.registry_auth));
  return send(std::move(request), call.cleaning, until, sink);
}

std::string text_member(const JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  return std::string(value ? value->as_string().value_or("") : "");
}

}  // namespace serverledge
