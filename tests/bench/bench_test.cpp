// The load generator against a real server.
#include <atomic>
#include <catch2/catch.hpp>

#include "serverledge/core/json.hpp"
#include "serverledge/net/http_server.hpp"
#include "support/command_run.hpp"

namespace serverledge::test {
namespace {

// A server whose handler sees the number of each request, from 0.
class CountingServer {
 public:
  using Handler = std::function<HttpResponse(int number, const HttpRequest& request)>;
  explicit CountingServer(Handler handler) : handler_(std::move(handler)), server_({}, system_clock()) {
    const auto count = [this](HttpRequest& request) { return handler_(count_.fetch_add(1), request); };
    server_.route("POST", "/invoke/:function", count);
    server_.route("GET", "/plain", count);
    port_ = server_.start().value();
  }
  int count() const { return count_; }
  CommandRun bench(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {SERVERLEDGE_BENCH, "-P", std::to_string(port_), "--json"});
    return run_command(arguments);
  }

 private:
  Handler handler_;
  std::atomic<int> count_{0};
  HttpServer server_;
  int port_ = 0;
};

std::int64_t integer(const std::string& json, const std::vector<std::string>& path) {
  const auto document = JsonDocument::parse(json);
  REQUIRE(document);
  JsonValue value = document->root();
  for (const auto& name : path) {
    const auto member = value.find(name);
    CAPTURE(json, name);
    REQUIRE(member);
    value = *member;
  }
  return value.as_int().value_or(-1);
}

}  // namespace

TEST_CASE("exactly the asked number of requests is sent, however many connections send them", "[bench]") {
  for (const char* connections : {"1", "2", "16"}) {
    std::atomic<int> wrong{0};
    const CountingServer server([&](int number, const HttpRequest& request) {
      if (request.path != "/invoke/noop" ||
          request.body !=
              R"({"Params":{"n":1},"QoSClass":0,"QoSMaxRespT":-1,"CanDoOffloading":true,"Async":false,"ReturnOutput":false})") {
        ++wrong;
      }
      return HttpResponse::json(200, number == 0 ? R"({"IsWarmStart":false})" : R"({"IsWarmStart":true})");
    });
    const auto run = server.bench({"-f", "noop", "--params", R"({"n":1})", "-n", "500", "-c", connections});
    INFO(run.err);
    CAPTURE(connections);
    CHECK(run.exit_code == 0);
    CHECK(wrong == 0);
    CHECK(server.count() == 500);
    CHECK(integer(run.out, {"Successes"}) == 500);
    CHECK(integer(run.out, {"Failures"}) == 0);
    CHECK(integer(run.out, {"Statuses", "200"}) == 500);
    CHECK(integer(run.out, {"Warm"}) == 499);
    CHECK(integer(run.out, {"Cold"}) == 1);
  }
}

TEST_CASE("failures are counted by their status and make the exit code 2", "[bench]") {
  for (const char* connections : {"1", "8"}) {
    const CountingServer server([](int number, const HttpRequest&) {
      return number % 4 == 0 ? HttpResponse::text(429, "") : HttpResponse::text(200, "ok");
    });
    const auto run = server.bench({"--path", "/plain", "--method", "GET", "-n", "100", "-c", connections});
    CHECK(run.exit_code == 2);
    CHECK(integer(run.out, {"Successes"}) == 75);
    CHECK(integer(run.out, {"Failures"}) == 25);
    CHECK(integer(run.out, {"Statuses", "429"}) == 25);
  }
}

TEST_CASE("a server that does not answer is counted as errors", "[bench]") {
  int port = 0;
  {
    HttpServer server({}, system_clock());
    port = server.start().value();
  }
  for (const char* connections : {"1", "3"}) {
    const auto run = run_command({SERVERLEDGE_BENCH, "-P", std::to_string(port), "--path", "/", "--json",
                                  "-n", "3", "-c", connections});
    CHECK(run.exit_code == 2);
    CHECK(integer(run.out, {"Errors", "connect"}) == 3);
  }
}

TEST_CASE("a body larger than the socket's buffer is sent whole", "[bench]") {
  const std::string params = R"({"text":")" + std::string(100000, 'x') + R"("})";
  for (const char* connections : {"1", "4"}) {
    std::atomic<std::size_t> wrong{0};
    const CountingServer server([&](int, const HttpRequest& request) {
      if (request.body.find(params) == std::string::npos) ++wrong;
      return HttpResponse::json(200, "{}");
    });
    const auto run = server.bench({"-f", "noop", "--params", params, "-n", "40", "-c", connections});
    CHECK(run.exit_code == 0);
    CHECK(wrong == 0);
  }
}

TEST_CASE("wrong usage of the load generator exits with 1", "[bench]") {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{},
                                             {"-f", "noop", "--params", "[1]"},
                                             {"-f", "noop", "-c", "0"},
                                             {"--path", "relative"},
                                             {"-f", "noop", "--path", "/x"},
                                             {"-f", "noop", "-n", "5", "-d", "5"},
                                             {"--nothing"}}) {
    auto command = arguments;
    command.insert(command.begin(), SERVERLEDGE_BENCH);
    const auto run = run_command(command);
    CHECK(run.exit_code == 1);
    CHECK(run.out.empty());
    CHECK_FALSE(run.err.empty());
  }
}

}  // namespace serverledge::test
