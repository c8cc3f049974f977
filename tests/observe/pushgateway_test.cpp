#include "serverledge/observe/pushgateway.hpp"

#include <catch2/catch.hpp>

#include <condition_variable>
#include <mutex>
#include <vector>

#include "serverledge/net/http_server.hpp"

namespace serverledge {
namespace {

/// Stands for a gateway: keeps what it is sent.
struct Gateway {
  Gateway() {
    server.route("PUT", "/metrics/job/:job/:label/:node", [this](HttpRequest& request) {
      const std::scoped_lock lock(mutex);
      requests.push_back(request);
      arrived.notify_all();
      return HttpResponse{status, {}, {}, "told"};
    });
    target = HttpTarget::tcp("127.0.0.1", server.start().value());
  }
  ~Gateway() { server.stop(); }
  bool wait_for(std::size_t count) {
    std::unique_lock lock(mutex);
    return arrived.wait_for(lock, std::chrono::seconds(30), [&] { return requests.size() >= count; });
  }

  int status = 200;
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<HttpRequest> requests;
  HttpServer server{{}, system_clock()};
  HttpTarget target;
};

/// Keeps the events of log lines.
class Listener final : public Observer {
 public:
  void log(LogLevel /*level*/, std::string_view event, std::initializer_list<LogField> fields) override {
    const std::scoped_lock lock(mutex);
    events.emplace_back(event);
    for (const auto& [name, value] : fields) events.back().append(" ").append(value);
    told.notify_all();
  }
  std::string first() {
    std::unique_lock lock(mutex);
    told.wait_for(lock, std::chrono::seconds(30), [&] { return !events.empty(); });
    return events.empty() ? "" : events.front();
  }
  std::mutex mutex;
  std::condition_variable told;
  std::vector<std::string> events;
};

TEST_CASE("Metrics are put to the gateway at once, at every interval, and at the end", "[pushgateway]") {
  Gateway gateway;
  Listener listener;
  std::size_t last = 0;
  {
    const PushgatewayPusher pusher(
        {.gateway = gateway.target, .node = "(ROME)one", .interval = std::chrono::milliseconds(10)},
        [] { return "the_metric 1\n"; }, listener, system_clock());
    REQUIRE(gateway.wait_for(3));
    const std::scoped_lock lock(gateway.mutex);
    last = gateway.requests.size();
  }
  CHECK(gateway.requests.size() > last);
  CHECK(gateway.requests[0].path == "/metrics/job/serverledge/node/(ROME)one");
  CHECK(gateway.requests[0].body == "the_metric 1\n");
  CHECK(listener.events.empty());
}

TEST_CASE("A node name that no path can hold goes as base64", "[pushgateway]") {
  Gateway gateway;
  Listener listener;
  {
    const PushgatewayPusher pusher(
        {.gateway = gateway.target, .node = "(a/b)ö?>"}, [] { return ""; }, listener, system_clock());
    REQUIRE(gateway.wait_for(1));
  }
  CHECK(gateway.requests[0].path == "/metrics/job/serverledge/node@base64/KGEvYinDtj8-");
}

TEST_CASE("A gateway that refuses, or is not there, is told to the log and ends nothing", "[pushgateway]") {
  Gateway gateway;
  gateway.status = 400;
  Listener listener;
  {
    const PushgatewayPusher pusher(
        {.gateway = gateway.target, .node = "one"}, [] { return ""; }, listener, system_clock());
    CHECK(listener.first() == "metrics_not_pushed " + gateway.target.name() + " it answered 400: told");
  }
  gateway.server.stop();
  Listener other;
  const PushgatewayPusher pusher(
      {.gateway = gateway.target, .node = "one"}, [] { return ""; }, other, system_clock());
  CHECK(other.first().starts_with("metrics_not_pushed " + gateway.target.name()));
}

}  // namespace
}  // namespace serverledge
