#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "net/raw_peer.hpp"
#include "serverledge/net/http_server.hpp"
#include "support/eventually.hpp"
#include "support/gate.hpp"
#include "support/manual_clock.hpp"

namespace serverledge {
namespace {

using test::body_of;
using test::contains;
using test::eventually;
using test::Gate;
using test::get;
using test::ManualClock;
using test::post;
using test::RawPeer;
using test::status_of;

// A server with one worker unless said otherwise, whose handlers at /wait wait for the gate.
struct OneWorkerServer {
  explicit OneWorkerServer(HttpServerOptions options = one_worker(), Clock& clock = system_clock())
      : server(with_log(std::move(options)), clock) {
    server.route("GET", "/now", [](HttpRequest&) { return HttpResponse::text(200, "now"); });
    server.route("POST", "/body", [](HttpRequest& request) { return HttpResponse::text(200, request.body); },
                 {.body_max = 100'000});
    server.route("GET", "/wait", [this](HttpRequest&) {
      gate.wait();
      return HttpResponse::text(200, "waited");
    });
    server.route("GET", "/quick", [](HttpRequest&) { return HttpResponse::text(200, "quick"); },
                 {.quick = true});
    server.route("GET", "/gone", [this](HttpRequest& request) {
      std::unique_lock lock(mutex);
      ++waiting_for_end;
      changed.notify_all();
      std::condition_variable_any ended;
      ended.wait(lock, request.peer_gone, [] { return false; });
      ++ends;
      changed.notify_all();
      return HttpResponse::text(200, "");
    });
  }
  ~OneWorkerServer() { gate.open(); }
  static HttpServerOptions one_worker() {
    HttpServerOptions options;
    options.min_threads = options.max_threads = 1;
    options.patience = std::chrono::hours(1);
    return options;
  }
  HttpServerOptions with_log(HttpServerOptions options) {
    options.log = [this](std::string_view event, std::string_view) {
      const std::lock_guard lock(mutex);
      notes.emplace_back(event);
      changed.notify_all();
    };
    return options;
  }
  int start() {
    const auto port = server.start();
    REQUIRE(port);
    return *port;
  }
  bool noted(std::string_view event) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20),
                            [&] { return std::find(notes.begin(), notes.end(), event) != notes.end(); });
  }
  bool reaches(const int& count, int value) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20), [&] { return count >= value; });
  }

  Gate gate;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> notes;
  int waiting_for_end = 0;
  int ends = 0;
  HttpServer server;
};

// More descriptors than the usual 1024, for as long as it lives.
class ManyDescriptors {
 public:
  ManyDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit many = before_;
    many.rlim_cur = std::min<rlim_t>(many.rlim_max, 8192);
    setrlimit(RLIMIT_NOFILE, &many);
  }
  ~ManyDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("500 idle and 500 half-sent connections delay nobody", "[http_limits]") {
  const ManyDescriptors many;
  OneWorkerServer fixture;  // one worker: any connection that held a thread would show
  const int port = fixture.start();
  const std::vector<std::string> beginnings = {
      "G",
      "GET /now HTTP/1.1\r\nHost:", "POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\nhalf",
      "POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
      "POST /body HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"};
  std::vector<RawPeer> peers;
  for (int i = 0; i < 500; ++i) {
    peers.emplace_back(port);
    RawPeer& half = peers.emplace_back(port);
    REQUIRE(half.send(beginnings[static_cast<std::size_t>(i) % beginnings.size()]));
  }
  REQUIRE(eventually([&] { return fixture.server.load().connections == 1000; }));
  RawPeer next(port);
  for (int i = 0; i < 10; ++i) {
    CHECK(status_of(next.ask(get("/now"))) == 200);
    for (std::size_t k = 1; k < peers.size(); k += 2) peers[k].send("\r");  // some drip on
  }
  CHECK(fixture.server.load().threads == 1);
}

namespace {

// Lets a second pass every millisecond.
class PassingTime {
 public:
  explicit PassingTime(ManualClock& clock)
      : thread_([&clock](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            clock.advance(std::chrono::seconds(1));
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
          }
        }) {}

 private:
  std::jthread thread_;
};

// No time limit but the one that a test sets.
HttpServerOptions without_time_limits() {
  HttpServerOptions options = OneWorkerServer::one_worker();
  options.head_timeout = options.body_timeout = options.idle_timeout = options.write_timeout =
      std::chrono::hours(1000);
  return options;
}

}  // namespace

TEST_CASE("a head has its time, and one that takes longer is a 408", "[http_limits]") {
  ManualClock clock;
  HttpServerOptions options = without_time_limits();
  options.head_timeout = std::chrono::seconds(10);
  OneWorkerServer fixture(options, clock);
  RawPeer peer(fixture.start());
  for (int i = 0; i < 3; ++i) {
    peer.send("GET /now HTT");
    clock.advance(std::chrono::seconds(9));
    CHECK(status_of(peer.ask("P/1.1\r\nHost: h\r\n\r\n")) == 200);
  }
  peer.send("GET /now HTT");
  const PassingTime passing(clock);
  const std::string answer = peer.to_end();
  CHECK(status_of(answer) == 408);
  CHECK(contains(answer, "Connection: close\r\n"));
}

TEST_CASE("a body that does not come in time is a 408", "[http_limits]") {
  ManualClock clock;
  HttpServerOptions options = without_time_limits();
  options.body_timeout = std::chrono::seconds(60);
  OneWorkerServer fixture(options, clock);
  RawPeer peer(fixture.start());
  peer.send("POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab");
  clock.advance(std::chrono::seconds(50));
  CHECK(body_of(peer.ask("c")) == "abc");
  peer.send("POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab");
  const PassingTime passing(clock);
  CHECK(status_of(peer.to_end()) == 408);
}

TEST_CASE("an idle connection is closed without a word", "[http_limits]") {
  ManualClock clock;
  HttpServerOptions options = without_time_limits();
  options.idle_timeout = std::chrono::seconds(60);
  OneWorkerServer fixture(options, clock);
  const int port = fixture.start();
  RawPeer silent(port);
  RawPeer served(port);
  CHECK(status_of(served.ask(get("/now"))) == 200);
  const PassingTime passing(clock);
  CHECK(silent.to_end().empty());
  CHECK(served.to_end().empty());
  CHECK(eventually([&] { return fixture.server.load().connections == 0; }));
}

TEST_CASE("a peer that does not take its answer is given up", "[http_limits]") {
  ManualClock clock;
  HttpServerOptions options = without_time_limits();
  options.write_timeout = std::chrono::seconds(30);
  OneWorkerServer fixture(options, clock);
  fixture.server.route("GET", "/large",
                       [](HttpRequest&) { return HttpResponse::text(200, std::string(16 << 20, 'x')); });
  RawPeer peer(fixture.start());
  peer.send(get("/large"));
  REQUIRE(eventually([&] { return fixture.server.load().connections == 1; }));
  const PassingTime passing(clock);
  CHECK(eventually([&] { return fixture.server.load().connections == 0; }));
  CHECK(peer.to_end().size() < 16 << 20);
}

TEST_CASE("blocked handlers make room for others: workers are started when all are blocked",
          "[http_limits]") {
  HttpServerOptions options;
  options.min_threads = 1;
  options.max_threads = 40;
  options.thread_idle_timeout = std::chrono::milliseconds(100);
  options.patience = std::chrono::hours(1);
  OneWorkerServer fixture(options);
  const int port = fixture.start();
  std::vector<RawPeer> waiting;
  for (int i = 0; i < 30; ++i) {
    waiting.emplace_back(port);
    waiting.back().send(get("/wait"));
  }
  CHECK(fixture.gate.wait_for_arrivals(30));
  CHECK(status_of(RawPeer(port).ask(get("/now"))) == 200);
  CHECK(fixture.server.load().running == 30);
  fixture.gate.open();
  for (auto& peer : waiting) CHECK(body_of(peer.answer()) == "waited");
  CHECK(eventually(
      [&] { return fixture.server.load().threads == 1; }));  // and leave when there is nothing to do
  CHECK(status_of(waiting[0].ask(get("/now"))) == 200);
}

TEST_CASE("short calls of many connections are served by few threads", "[http_limits]") {
  HttpServerOptions options;
  options.min_threads = 2;
  OneWorkerServer fixture(options);
  const int port = fixture.start();
  std::vector<RawPeer> peers;
  for (int i = 0; i < 50; ++i) peers.emplace_back(port);
  for (int round = 0; round < 20; ++round) {
    for (auto& peer : peers) peer.send(get("/now"));
    for (auto& peer : peers) CHECK(body_of(peer.answer()) == "now");
  }
  CHECK(fixture.server.load().threads < peers.size() / 2);  // on a busy machine a short call may look blocked
}

TEST_CASE("with all threads blocked a request is told so, and a quick one is still served", "[http_limits]") {
  HttpServerOptions options;
  options.min_threads = 1;
  options.max_threads = 2;
  options.patience = std::chrono::milliseconds(20);
  OneWorkerServer fixture(options);
  const int port = fixture.start();
  RawPeer first(port);
  RawPeer second(port);
  first.send(get("/wait"));
  second.send(get("/wait"));
  REQUIRE(fixture.gate.wait_for_arrivals(2));

  RawPeer third(port);
  for (int i = 0; i < 2; ++i) {
    const std::string answer = third.ask(get("/now"));
    CHECK(status_of(answer) == 503);
    CHECK(contains(answer, "Retry-After: 1\r\n"));
    CHECK(contains(body_of(answer), "{\"Error\":\"the node is busy"));
    CHECK(status_of(third.ask(get("/quick"))) == 200);
  }
  RawPeer uploading(port);
  uploading.send("POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\nhalf");
  CHECK(status_of(uploading.to_end()) == 503);
  CHECK(fixture.noted("overload"));

  fixture.gate.open();
  CHECK(body_of(first.answer()) == "waited");
  CHECK(eventually([&] { return status_of(third.ask(get("/now"))) == 200; }));
}

TEST_CASE("a connection beyond the limit displaces an idle one, and is told if there is none",
          "[http_limits]") {
  HttpServerOptions options;
  options.min_threads = 4;
  options.max_connections = 3;
  OneWorkerServer fixture(options);
  const int port = fixture.start();
  std::vector<RawPeer> peers;
  for (int i = 0; i < 3; ++i) CHECK(status_of(peers.emplace_back(port).ask(get("/now"))) == 200);
  // A connection counts as idle a moment after its answer was read.
  CHECK(eventually([&] {
    RawPeer fourth(port);
    if (status_of(fourth.ask(get("/now"))) != 200) return false;
    peers.push_back(std::move(fourth));
    return true;
  }));
  std::erase_if(peers, [](RawPeer& peer) { return peer.ask(get("/now")).empty(); });
  REQUIRE(peers.size() == 3);

  for (RawPeer& peer : peers) peer.send(get("/wait"));
  REQUIRE(fixture.gate.wait_for_arrivals(3));
  RawPeer fifth(port);
  fifth.send(get("/now"));
  const std::string answer = fifth.to_end();
  CHECK(status_of(answer) == 503);
  CHECK(contains(body_of(answer), "takes no more at the moment"));
  fixture.gate.open();
  for (RawPeer& peer : peers) CHECK(status_of(peer.answer()) == 200);
}

TEST_CASE("bodies share a budget, and one that does not fit in is a 503", "[http_limits]") {
  HttpServerOptions options;
  options.min_threads = 2;
  options.body_budget = 150'000;
  OneWorkerServer fixture(options);
  fixture.server.route("POST", "/hold", [&](HttpRequest&) {
    fixture.gate.wait();
    return HttpResponse::text(200, "");
  });
  const int port = fixture.start();
  RawPeer holder(port);
  holder.send(post("/hold", std::string(100'000, 'x')));
  REQUIRE(fixture.gate.wait_for_arrivals(1));
  RawPeer other(port);
  other.send(post("/body", std::string(90'000, 'x')));
  const std::string answer = other.to_end();
  CHECK(status_of(answer) == 503);
  CHECK(contains(answer, "Retry-After: 1\r\n"));
  CHECK(status_of(RawPeer(port).ask(post("/body", "small"))) == 200);
  fixture.gate.open();
  CHECK(status_of(holder.answer()) == 200);
  CHECK(status_of(RawPeer(port).ask(post("/body", std::string(90'000, 'x')))) == 200);
}

TEST_CASE("a handler is told when its peer hangs up, half-closes or resets", "[http_limits]") {
  HttpServerOptions options;
  options.min_threads = 4;
  OneWorkerServer fixture(options);
  const int port = fixture.start();
  RawPeer closing(port);
  RawPeer halving(port);
  RawPeer resetting(port);
  for (RawPeer* peer : {&closing, &halving, &resetting}) peer->send(get("/gone"));
  REQUIRE(fixture.reaches(fixture.waiting_for_end, 3));
  {
    const std::lock_guard lock(fixture.mutex);
    CHECK(fixture.ends == 0);
  }
  closing.hang_up();
  CHECK(fixture.reaches(fixture.ends, 1));
  resetting.reset();
  CHECK(fixture.reaches(fixture.ends, 2));
  halving.half_close();
  CHECK(fixture.reaches(fixture.ends, 3));
  CHECK(status_of(halving.to_end()) == 200);
  CHECK(eventually([&] { return fixture.server.load().connections == 0; }));

  RawPeer early(port);  // hangs up before its handler waits
  early.send(get("/gone"));
  early.hang_up();
  CHECK(fixture.reaches(fixture.ends, 4));
}

TEST_CASE("running out of descriptors does not end accepting", "[http_limits]") {
  HttpServerOptions options;
  options.min_threads = 2;
  OneWorkerServer fixture(options);
  const int port = fixture.start();
  RawPeer kept(port);
  kept.send(get("/wait"));  // not idle: it cannot be displaced
  REQUIRE(fixture.gate.wait_for_arrivals(1));

  const int socket = RawPeer::new_socket();
  rlimit usual{};
  getrlimit(RLIMIT_NOFILE, &usual);
  rlimit none = usual;
  none.rlim_cur = 3;
  setrlimit(RLIMIT_NOFILE, &none);
  RawPeer next(port,
               socket);  // the kernel completes the connection, but there is no descriptor to accept it with
  next.send(get("/now"));
  CHECK(fixture.noted("cannot accept connections"));
  setrlimit(RLIMIT_NOFILE, &usual);
  CHECK(status_of(next.answer()) == 200);
  CHECK(status_of(RawPeer(port).ask(get("/now"))) == 200);
}

}  // namespace serverledge
