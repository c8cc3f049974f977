#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "runtime/web_stream.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/json.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/net/http_client.hpp"

namespace serverledge {

/// What an engine says of itself.
struct EngineVersion {
  std::string name;  ///< "Docker 20.10.24", "Podman 4.3.1"
  std::string api;   ///< the version of the API that is spoken with it: "1.41"
};

/// A request to an engine's API.
struct EngineCall {
  std::string method = "GET";
  std::string path;   ///< below the version: "/containers/json"
  std::string query;  ///< encoded
  std::string body;   ///< JSON, or what `content_type` says
  std::string_view content_type = "application/json";
  std::string registry_auth = {};                ///< X-Registry-Auth; empty: none
  Duration patience = std::chrono::seconds(20);  ///< for this request alone
  bool cleaning = false;                         ///< is made also after `cancel`
};

/// Speaks the Engine API (Docker's, and whatever has the same) over pooled connections. Thread-safe.
///
/// Errors carry the engine's own message. kNotFound: no such object; kExists: a conflict; kInvalid: it does
/// not take the request; kDiskFull; kUnavailable: it cannot be reached, broke off or failed; kDeadline: it
/// did not answer in time; kCancelled: `cancel` was called.
class EngineClient {
 public:
  /// By TLS if there is an identity for it.
  EngineClient(HttpTarget target, std::optional<TlsIdentity> tls, Clock& clock);

  /// Negotiates anew: asks the engine for its version. kUnsupported if no version of the API suits both.
  Result<EngineVersion> connect(TimePoint deadline);
  /// Makes a request, connecting first if that is due; any 2xx answer is a success. Gives up at the earlier
  /// of `deadline` and the call's patience.
  Result<HttpResponse> request(EngineCall call, TimePoint deadline, const HttpBodySink& sink = {});
  /// Ends all requests that run, and those to come but the cleaning ones.
  void cancel() { cancel_.request_stop(); }
  bool cancelled() const { return cancel_.stop_requested(); }

  const HttpTarget& target() const { return target_; }
  /// Whether what answered last is Podman, which differs in places.
  bool is_podman() const { return podman_; }

 private:
  Result<EngineVersion> negotiate(bool cleaning, TimePoint deadline);
  Result<std::string> api(bool cleaning, TimePoint deadline);
  Result<HttpResponse> send(HttpRequest request, bool cleaning, TimePoint deadline, const HttpBodySink& sink);

  const HttpTarget target_;
  const std::optional<TlsIdentity> tls_;
  Clock& clock_;
  HttpClient http_;
  std::stop_source cancel_;
  std::mutex mutex_;
  std::string api_;  // empty: to be negotiated
  std::atomic<bool> podman_ = false;
};

/// The text of an object's member; empty if there is none.
std::string text_member(const JsonValue& object, std::string_view name);

}  // namespace serverledge
