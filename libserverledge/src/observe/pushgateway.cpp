#include "serverledge/observe/pushgateway.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string_view>
#include <thread>
#include <utility>

#include "serverledge/net/base64.hpp"
#include "serverledge/observe/metrics.hpp"

namespace serverledge {
namespace {

constexpr Duration kConnectTime = std::chrono::seconds(1);
constexpr Duration kPushTime = std::chrono::seconds(5);
constexpr Duration kLastPushTime = std::chrono::seconds(2);

/// A grouping label as a part of the path; values that a path cannot hold go as base64, as the Pushgateway
/// has it.
std::string grouping(std::string_view label, std::string_view value) {
  constexpr std::string_view kPlain = "-._~()";
  const bool plain = !value.empty() && std::ranges::all_of(value, [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kPlain.find(c) != std::string_view::npos;
  });
  std::string part = "/" + std::string(label);
  if (plain) return part.append("/").append(value);
  std::string encoded = base64_encode(value);
  std::ranges::replace(encoded, '+', '-');
  std::ranges::replace(encoded, '/', '_');
  return part.append("@base64/").append(encoded.empty() ? "=" : encoded);
}

}  // namespace

class PushgatewayPusher::Thread {
 public:
  Thread(PushgatewayOptions options, std::function<std::string()> text, Observer& observer, Clock& clock)
      : options_(std::move(options)),
        path_("/metrics" + grouping("job", options_.job) + grouping("node", options_.node)),
        text_(std::move(text)),
        observer_(observer),
        clock_(clock),
        client_({}, clock),
        thread_([this](const std::stop_token& stop) { run(stop); }) {}

 private:
  void run(const std::stop_token& stop) {
    bool reachable = false;
    while (!stop.stop_requested()) {
      reachable = push(stop, kPushTime);
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, options_.interval, [] { return false; });
    }
    if (reachable) push({}, kLastPushTime);
  }

  /// Whether the gateway took it.
  bool push(const std::stop_token& stop, Duration within) {
    HttpRequest request;
    request.method = "PUT";
    request.path = path_;
    request.headers.add("Content-Type", std::string(Metrics::kContentType));
    request.body = text_();
    request.peer_gone = stop;
    const Result<HttpResponse> answer =
        client_.request(options_.gateway, request, kConnectTime, later(clock_.now(), within));
    if (answer && answer->status / 100 == 2) return true;
    if (!answer && answer.error().code == ErrorCode::kCancelled) return true;
    const std::string reason =
        answer ? "it answered " + std::to_string(answer->status) + ": " + answer->body.substr(0, kReasonMax)
               : answer.error().message;
    observer_.log(LogLevel::kWarning, "metrics_not_pushed",
                  {{"gateway", options_.gateway.name()}, {"reason", reason}});
    return false;
  }

  static constexpr std::size_t kReasonMax = 200;

  const PushgatewayOptions options_;
  const std::string path_;
  const std::function<std::string()> text_;
  Observer& observer_;
  Clock& clock_;
  HttpClient client_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;
};

PushgatewayPusher::PushgatewayPusher(PushgatewayOptions options, std::function<std::string()> text,
                                     Observer& observer, Clock& clock)
    : thread_(std::make_unique<Thread>(std::move(options), std::move(text), observer, clock)) {}

PushgatewayPusher::~PushgatewayPusher() = default;

}  // namespace serverledge
