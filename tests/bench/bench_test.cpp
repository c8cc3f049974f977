// The load generator against a real server.
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <mutex>
#include <thread>

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

double number(const std::string& json, const std::vector<std::string>& path) {
  const auto document = JsonDocument::parse(json);
  REQUIRE(document);
  JsonValue value = document->root();
  for (const auto& name : path) {
    const auto member = value.find(name);
    CAPTURE(json, name);
    REQUIRE(member);
    value = *member;
  }
  return value.as_double().value_or(-1);
}

std::int64_t integer(const std::string& json, const std::vector<std::string>& path) {
  return static_cast<std::int64_t>(number(json, path));
}

// Answers until the sixth request, then nothing for half a second, then all that have come meanwhile.
class StallingServer {
 public:
  static constexpr auto kStall = std::chrono::milliseconds(500);
  CommandRun bench(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"-f", "noop", "-n", "100"});
    return server_.bench(std::move(arguments));
  }

 private:
  std::mutex one_at_a_time_;
  CountingServer server_{[this](int number, const HttpRequest&) {
    const std::lock_guard lock(one_at_a_time_);
    if (number == 5) std::this_thread::sleep_for(kStall);
    return HttpResponse::json(200, "{}");
  }};
};

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

TEST_CASE("an open loop counts from when a call was due, also where the server stalls", "[bench]") {
  // With 100 calls a second, and nothing answered from 50 to 550 ms at the earliest, those due up to 150 ms
  // take 400 ms or more: 11 of 100. A loop that waits for answers would see one slow call.
  for (const char* connections : {"2", "100"}) {
    const StallingServer server;
    const auto run = server.bench({"--rate", "100", "-c", connections});
    INFO(run.out << run.err);
    CHECK(run.exit_code == 0);
    CHECK(integer(run.out, {"Successes"}) == 100);
    CHECK(number(run.out, {"Latency", "P90"}) >= 0.39);
    CHECK(number(run.out, {"Latency", "Mean"}) >= 0.1);
    if (std::string(connections) == "2") {
      CHECK(integer(run.out, {"Waited"}) >= 45);  // what was due in the stall found both connections busy
      CHECK(integer(run.out, {"Opened"}) == 2);
      CHECK(number(run.out, {"SendLag", "P90"}) >= 0.3);
    } else {
      CHECK(integer(run.out, {"Opened"}) >= 40);  // they were opened as calls came
    }
  }
}

TEST_CASE("calls of an open loop that could not be sent in time are told of", "[bench]") {
  const CountingServer server([](int, const HttpRequest&) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    return HttpResponse::json(200, "{}");
  });
  const auto run = server.bench({"-f", "noop", "-n", "20", "-r", "200", "-c", "1", "--timeout", "0.3"});
  INFO(run.out << run.err);
  CHECK(run.exit_code == 2);
  CHECK(integer(run.out, {"Failures"}) == 20);
  CHECK(integer(run.out, {"Errors", "timeout"}) >= 1);
  CHECK(integer(run.out, {"Errors", "unsent"}) >= 1);
}

TEST_CASE("an open loop sends what was asked for, at random or not, from several threads", "[bench]") {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"-r", "2000", "-n", "301"},
                                             {"-r", "2000", "-n", "301", "--poisson", "-t", "4"},
                                             {"-r", "100", "-d", "3.005"}}) {
    const CountingServer server([](int, const HttpRequest&) { return HttpResponse::json(200, "{}"); });
    auto all = arguments;
    all.insert(all.end(), {"-f", "a:2,b", "-f", "c", "--seed", "7"});
    const auto run = server.bench(all);
    INFO(run.out << run.err);
    CHECK(run.exit_code == 0);
    CHECK(server.count() == 301);
    CHECK(integer(run.out, {"Successes"}) == 301);
    CHECK(integer(run.out, {"Seed"}) == 7);
    std::int64_t sum = 0;
    for (const char* name : {"a", "b", "c"}) sum += integer(run.out, {"Functions", name, "Successes"});
    CHECK(sum == 301);
    CHECK(integer(run.out, {"Functions", "a", "Successes"}) > 100);  // 150 are to be expected
  }
}

TEST_CASE("nobody at the port of an open loop is counted call by call", "[bench]") {
  int port = 0;
  {
    HttpServer server({}, system_clock());
    port = server.start().value();
  }
  const auto run = run_command(
      {SERVERLEDGE_BENCH, "-P", std::to_string(port), "-f", "noop", "--json", "-r", "100", "-n", "10"});
  CHECK(run.exit_code == 2);
  CHECK(integer(run.out, {"Errors", "connect"}) == 10);
}

TEST_CASE("wrong usage of the load generator exits with 1", "[bench]") {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{},
                                             {"-f", "noop", "--params", "[1]"},
                                             {"-f", "noop", "-c", "0"},
                                             {"--path", "relative"},
                                             {"-f", "noop", "--path", "/x"},
                                             {"-f", "noop", "-n", "5", "-d", "5"},
                                             {"-f", "noop", "-r", "0"},
                                             {"-f", "noop", "--poisson"},
                                             {"-f", "a,a"},
                                             {"-f", "a:0"},
                                             {"-f", "a:x,b"},
                                             {"-f", "a:2,b", "--zipf", "1"},
                                             {"-f", "a b"},
                                             {"-f", "noop", "--seed", "-1"},
                                             {"-f", "noop", "--plot", "/nowhere/at/all.svg"},
                                             {"--cold"},
                                             {"--cold", "--src", "/nowhere.py", "--handler", "x.y"},
                                             {"--cold", "-f", "noop", "--src", "/etc/hostname"},
                                             {"--src", "/etc/hostname"},
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
