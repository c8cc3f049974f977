#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "net/raw_peer.hpp"
#include "serverledge/net/http_client.hpp"
#include "serverledge/net/http_server.hpp"
#include "support/eventually.hpp"
#include "support/gate.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge {
namespace {

using test::body_of;
using test::contains;
using test::eventually;
using test::Gate;
using test::get;
using test::RawPeer;
using test::status_of;

std::set<std::string> names_in(const char* folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

std::size_t threads() { return names_in("/proc/self/task").size(); }

void add_routes(HttpServer& server, Gate& gate) {
  server.route("GET", "/now", [](HttpRequest&) { return HttpResponse::text(200, "now"); });
  server.route("GET", "/wait", [&gate](HttpRequest&) {
    gate.wait();
    return HttpResponse::text(200, "waited");
  });
}

// Waits in its handler until the peer is gone, or the server stops.
HttpResponse wait_for_end(HttpRequest& request, Gate& entered) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any ended;
  std::jthread announcing([&] { entered.wait(); });
  ended.wait(lock, request.peer_gone, [] { return false; });
  entered.open();
  return HttpResponse::text(200, "");
}

HttpServerOptions four_threads() {
  HttpServerOptions options;
  options.min_threads = 4;
  return options;
}

}  // namespace

TEST_CASE("a server starts, stops and starts again, and leaves no thread and no descriptor",
          "[http_lifecycle]") {
  std::thread([] {}).join();  // a sanitizer keeps a thread of its own from the first on
  const std::size_t threads_before = threads();
  const auto descriptors_before = names_in("/proc/self/fd");
  {
    Gate gate;
    HttpServer server(four_threads(), system_clock());
    add_routes(server, gate);
    server.stop();
    for (int i = 0; i < 3; ++i) {
      const auto port = server.start();
      REQUIRE(port);
      CHECK(server.start().error().code == ErrorCode::kExists);
      RawPeer peer(*port);
      CHECK(status_of(peer.ask(get("/now"))) == 200);
      server.stop();
      server.stop();
      CHECK(peer.to_end().empty());
      CHECK_THROWS(RawPeer(*port));
      CHECK(threads() == threads_before);
      CHECK(server.load().threads == 0);
    }
  }
  CHECK(names_in("/proc/self/fd") == descriptors_before);
}

TEST_CASE("an address that cannot be had is named in the error", "[http_lifecycle]") {
  HttpServer first({}, system_clock());
  const auto port = first.start();
  REQUIRE(port);
  HttpServerOptions options;
  options.port = *port;
  const auto taken = HttpServer(options, system_clock()).start();
  REQUIRE_FALSE(taken);
  CHECK(taken.error().code == ErrorCode::kUnavailable);
  CHECK(taken.error().message ==
        "cannot listen on 127.0.0.1:" + std::to_string(*port) + ": Address already in use");
  options.port = 0;
  options.address = "198.51.100.1";
  CHECK(HttpServer(options, system_clock()).start().error().code == ErrorCode::kUnavailable);
  options.address = "not an address";
  CHECK(HttpServer(options, system_clock()).start().error().code == ErrorCode::kInvalid);
  options.address = "127.0.0.1";
  options.port = 65536;
  CHECK(HttpServer(options, system_clock()).start().error().code == ErrorCode::kInvalid);
}

TEST_CASE("all interfaces and IPv6 are listened on when asked for", "[http_lifecycle]") {
  for (const char* address : {"0.0.0.0", "localhost", "::", "::1"}) {
    HttpServerOptions options;
    options.address = address;
    HttpServer server(options, system_clock());
    server.route("GET", "/",
                 [](HttpRequest& request) { return HttpResponse::text(200, request.remote_address); });
    const auto port = server.start();
    const bool v6 = std::string_view(address).front() == ':';
    if (!port && v6) continue;  // a machine without IPv6
    REQUIRE(port);
    HttpClient client({}, system_clock());
    const auto response =
        client.request(HttpTarget::tcp(address == std::string_view("::1") ? "::1" : "127.0.0.1", *port), {},
                       std::chrono::seconds(10), later(system_clock().now(), std::chrono::seconds(20)));
    REQUIRE(response);
    CHECK(contains(response->body, v6 ? "[" : "127.0.0.1:"));
  }
}

TEST_CASE("draining answers what runs, closes what is idle and takes nothing new", "[http_lifecycle]") {
  Gate gate;
  HttpServer server(four_threads(), system_clock());
  add_routes(server, gate);
  const auto port = server.start();
  REQUIRE(port);
  RawPeer running(*port);
  running.send(get("/wait"));
  RawPeer pipelining(*port);
  pipelining.send(get("/wait") + get("/now"));
  REQUIRE(gate.wait_for_arrivals(2));
  RawPeer idle(*port);
  RawPeer half(*port);
  half.send("GET /no");
  auto left = std::async(std::launch::async, [&] { return server.drain(std::chrono::seconds(20)); });
  CHECK(idle.to_end().empty());
  CHECK(half.to_end().empty());
  CHECK(eventually([&] {
    try {
      return RawPeer(*port).to_end().empty() && false;
    } catch (const std::runtime_error&) {
      return true;  // refused
    }
  }));
  gate.open();
  const std::string answer = running.to_end();
  CHECK(body_of(answer) == "waited");
  CHECK(contains(answer, "Connection: close\r\n"));
  CHECK(body_of(pipelining.to_end()) == "waited");
  CHECK(left.get() == 0);
  CHECK(server.load().connections == 0);
}

TEST_CASE("draining ends with its grace, and stopping then fires peer_gone", "[http_lifecycle]") {
  Gate entered;
  std::atomic<bool> ended{false};
  HttpServer server({}, system_clock());
  server.route("GET", "/", [&](HttpRequest& request) {
    HttpResponse response = wait_for_end(request, entered);
    ended = true;
    return response;
  });
  const auto port = server.start();
  REQUIRE(port);
  RawPeer peer(*port);
  peer.send(get("/"));
  REQUIRE(entered.wait_for_arrivals(1));
  CHECK(server.drain(std::chrono::milliseconds(20)) == 1);
  CHECK_FALSE(ended);
  server.stop();
  CHECK(ended);
  CHECK(peer.to_end().empty());
}

TEST_CASE("a stop ends a drain that is going on", "[http_lifecycle]") {
  Gate entered;
  HttpServer server({}, system_clock());
  server.route("GET", "/", [&](HttpRequest& request) { return wait_for_end(request, entered); });
  const auto port = server.start();
  REQUIRE(port);
  RawPeer peer(*port);
  peer.send(get("/"));
  REQUIRE(entered.wait_for_arrivals(1));
  auto drained = std::async(std::launch::async, [&] { return server.drain(std::chrono::hours(1)); });
  CHECK_THROWS(eventually([&] { return RawPeer(*port).to_end() == "never"; }));  // until it takes nothing new
  server.stop();
  CHECK(drained.get() <= 1);
}

TEST_CASE("starting, asking, draining and stopping from many threads is safe", "[http_lifecycle]") {
  Gate gate;
  HttpServer server({}, system_clock());
  add_routes(server, gate);
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 20; ++k) {
        const auto port = server.start();
        if (port) {
          try {
            RawPeer(*port).ask(get("/now"));
          } catch (const std::runtime_error&) {  // stopped meanwhile
          }
        }
        if (k % 2 == 0) server.drain(std::chrono::milliseconds(1));
        server.stop();
      }
    });
  }
  threads.emplace_back([&] {
    while (!over) server.load();
  });
  threads[0].join();
  threads[1].join();
  over = true;
  threads[2].join();
  CHECK(server.load().threads == 0);
}

TEST_CASE("what the process does about SIGPIPE is left alone, and no peer can cause one",
          "[http_lifecycle]") {
  struct sigaction before {};
  struct sigaction deadly {};
  deadly.sa_handler = SIG_DFL;
  sigaction(SIGPIPE, &deadly, &before);
  {
    HttpServer server(four_threads(), system_clock());
    server.route("GET", "/", [](HttpRequest&) { return HttpResponse::text(200, std::string(1 << 20, 'x')); });
    const auto port = server.start();
    REQUIRE(port);
    for (int i = 0; i < 20; ++i) {
      RawPeer peer(*port);
      peer.send(get("/") + get("/") + get("/"));
      peer.reset();
    }
    CHECK(eventually([&] { return server.load().connections == 0; }));
  }
  struct sigaction after {};
  sigaction(SIGPIPE, &before, &after);
  CHECK(after.sa_handler == SIG_DFL);
}

TEST_CASE("no descriptor of a server or client is inherited by a program that is started",
          "[http_lifecycle]") {
  const auto before = names_in("/proc/self/fd");
  Gate gate;
  HttpServer server({}, system_clock());
  add_routes(server, gate);
  const auto port = server.start();
  REQUIRE(port);
  HttpClient client({}, system_clock());
  HttpRequest request;
  request.path = "/now";
  REQUIRE(client.request(HttpTarget::tcp("127.0.0.1", *port), request, std::chrono::seconds(10),
                         later(system_clock().now(), std::chrono::seconds(20))));
  int seen = 0;
  for (const auto& name : names_in("/proc/self/fd")) {
    const int flags = fcntl(std::stoi(name), F_GETFD);
    if (before.count(name) != 0 || flags < 0) continue;  // not ours, or the one that listed the folder
    CHECK((flags & FD_CLOEXEC) != 0);
    ++seen;
  }
  CHECK(seen >= 6);  // epoll, three event fds, the listener, both ends of the connection
}

TEST_CASE("a Unix socket is served, replaced when stale, and gone afterwards", "[http_lifecycle]") {
  const test::TemporaryFolder folder;
  HttpServerOptions options;
  options.unix_path = folder.file("node.sock");
  HttpServer server(options, system_clock());
  server.route("GET", "/", [](HttpRequest& request) {
    return HttpResponse::text(200, "from " + request.remote_address);
  });
  const auto ask = [&] {
    return HttpClient({}, system_clock())
        .request(HttpTarget::unix_socket(options.unix_path), {}, std::chrono::seconds(10),
                 later(system_clock().now(), std::chrono::seconds(20)));
  };
  REQUIRE(server.start().value() == 0);
  CHECK(ask()->body == "from ");
  HttpServer second(options, system_clock());
  CHECK(second.start().error().code == ErrorCode::kUnavailable);
  CHECK(ask()->status == 200);
  server.stop();
  CHECK_FALSE(std::filesystem::exists(options.unix_path));

  const int stale = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  options.unix_path.copy(address.sun_path, options.unix_path.size());
  REQUIRE(::bind(stale, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  ::close(stale);
  REQUIRE(server.start());
  CHECK(ask()->status == 200);
  server.stop();

  std::ofstream(options.unix_path) << "a file of somebody";
  CHECK(server.start().error().code == ErrorCode::kUnavailable);
  CHECK(std::filesystem::exists(options.unix_path));
  options.unix_path = folder.file(std::string(200, 'x'));
  CHECK(HttpServer(options, system_clock()).start().error().code == ErrorCode::kInvalid);
}

}  // namespace serverledge
