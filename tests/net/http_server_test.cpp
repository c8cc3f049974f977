#include "serverledge/net/http_server.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "net/raw_peer.hpp"

namespace serverledge {
namespace {

using test::body_of;
using test::contains;
using test::get;
using test::post;
using test::RawPeer;
using test::status_of;

// A server with a few routes.
struct RoutedServer {
  explicit RoutedServer(HttpServerOptions options = {})
      : server(with_log(std::move(options)), system_clock()) {
    server.route("POST", "/echo/:name",
                 [](HttpRequest& request) {
                   return HttpResponse::text(
                       200, std::string(request.path_parameter("name")) + ":" + request.body);
                 },
                 {.body_max = 100'000});
    server.route("GET", "/status", [](HttpRequest&) { return HttpResponse::json(200, "{}\n"); });
    server.route("POST", "/status", [](HttpRequest&) { return HttpResponse::json(200, "{}\n"); });
    server.route("GET", "/large",
                 [](HttpRequest&) { return HttpResponse::text(200, std::string(16 << 20, 'x')); });
  }
  int start() {
    const auto port = server.start();
    REQUIRE(port);
    return *port;
  }
  HttpServerOptions with_log(HttpServerOptions options) {
    options.log = [this](std::string_view event, std::string_view detail) {
      const std::lock_guard lock(mutex);
      notes.push_back(std::string(event) + ": " + std::string(detail));
    };
    return options;
  }

  std::mutex mutex;
  std::vector<std::string> notes;
  HttpServer server;
};

}  // namespace

TEST_CASE("a request is answered by the handler of its route, on a connection that is kept",
          "[http_server]") {
  RoutedServer fixture;
  RawPeer peer(fixture.start());
  for (const std::string body : {"", "{}", "hello"}) {
    const std::string answer = peer.ask(post("/echo/n%61me?x=1", body));
    CHECK(status_of(answer) == 200);
    CHECK(body_of(answer) == "name:" + body);
    CHECK(contains(answer, "Content-Type: text/plain; charset=UTF-8\r\n"));
    CHECK_FALSE(contains(answer, "Connection:"));
  }
}

TEST_CASE("a handler is told all about its request", "[http_server]") {
  RoutedServer fixture;
  HttpRequest seen;
  fixture.server.route("PUT", "/a/:x", [&](HttpRequest& request) {
    seen = std::move(request);
    return HttpResponse::text(200, "");
  });
  RawPeer peer(fixture.start());
  const TimePoint before = system_clock().now();
  peer.ask("PUT /a/%2F?q=%20 HTTP/1.1\r\nHost: h\r\nX-Header: %0d%0a v\r\nContent-Length: 2\r\n\r\nhi");
  CHECK(seen.method == "PUT");
  CHECK(seen.path == "/a//");
  CHECK(seen.path_parameter("x") == "/");
  CHECK(seen.query == "q=%20");
  CHECK(*seen.headers.find("x-header") == "%0d%0a v");
  CHECK(seen.body == "hi");
  CHECK(seen.remote_address.substr(0, 10) == "127.0.0.1:");
  CHECK(seen.arrival >= before);
  CHECK(seen.peer_gone.stop_possible());
}

TEST_CASE("an unknown path is a 404, a wrong method a 405, both with a message", "[http_server]") {
  RoutedServer fixture;
  RawPeer peer(fixture.start());
  for (const char* path : {"/", "/nothing", "/status/", "/echo", "/echo/", "/echo/a/b"}) {
    const std::string answer = peer.ask(post(path, "some body"));
    CHECK(status_of(answer) == 404);
    CHECK(body_of(answer) == "{\"message\":\"Not Found\"}\n");
    CHECK(contains(answer, "Content-Type: application/json; charset=UTF-8\r\n"));
  }
  const std::string answer = peer.ask("DELETE /status HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(status_of(answer) == 405);
  CHECK(body_of(answer) == "{\"message\":\"Method Not Allowed\"}\n");
  CHECK(contains(answer, "Allow: GET, POST\r\n"));
  CHECK(status_of(peer.ask("FROB /status HTTP/1.1\r\nHost: h\r\n\r\n")) == 405);
  CHECK(status_of(peer.ask("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")) == 404);
}

TEST_CASE("HEAD is a 405 without a body", "[http_server]") {
  RoutedServer fixture;
  RawPeer peer(fixture.start());
  peer.send("HEAD /status HTTP/1.1\r\nHost: h\r\n\r\n" + get("/status", "Connection: close\r\n"));
  const std::string both = peer.to_end();
  CHECK(status_of(both) == 405);
  CHECK(contains(both, "Content-Length: 33\r\n"));
  CHECK_FALSE(contains(both, "message"));
  CHECK(contains(both, "\r\n\r\nHTTP/1.1 200 OK\r\n"));
}

TEST_CASE("pipelined requests are answered in their order", "[http_server]") {
  RoutedServer fixture;
  RawPeer peer(fixture.start());
  std::string requests;
  for (int i = 0; i < 100; ++i) requests += post("/echo/" + std::to_string(i), std::string(i * 50, 'b'));
  REQUIRE(peer.send(requests));
  for (int i = 0; i < 100; ++i)
    CHECK(body_of(peer.answer()) == std::to_string(i) + ":" + std::string(i * 50, 'b'));
}

TEST_CASE("a chunked body is put together", "[http_server]") {
  RoutedServer fixture;
  RawPeer peer(fixture.start());
  const std::string head = "POST /echo/c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  CHECK(body_of(peer.ask(head + "3\r\nabc\r\n0\r\n\r\n")) == "c:abc");
  const std::string large(70'000, 'l');
  CHECK(body_of(peer.ask(head + "11170\r\n" + large + "\r\n0\r\n\r\n")) == "c:" + large);
}

TEST_CASE("a request that drips in byte by byte is answered", "[http_server]") {
  RoutedServer fixture;
  RawPeer peer(fixture.start());
  for (const char c : post("/echo/drip", "body")) peer.send({&c, 1});
  CHECK(body_of(peer.answer()) == "drip:body");
}

TEST_CASE("Expect: 100-continue is answered before the body, or refused at once", "[http_server]") {
  RoutedServer fixture;
  const int port = fixture.start();
  const std::string expect = "Host: h\r\nExpect: 100-continue\r\n";
  const std::string wanted = "POST /echo/e HTTP/1.1\r\n" + expect + "Content-Length: 2\r\n\r\n";
  RawPeer peer(port);
  CHECK(peer.ask(wanted) == "HTTP/1.1 100 Continue\r\n\r\n");
  CHECK(body_of(peer.ask("ok")) == "e:ok");
  CHECK(body_of(peer.ask(wanted + "ok")) == "e:ok");  // who does not wait need not be told
  CHECK(status_of(peer.ask("POST /echo/e HTTP/1.1\r\n" + expect + "Content-Length: 0\r\n\r\n")) == 200);

  CHECK(status_of(RawPeer(port).ask("POST /no HTTP/1.1\r\n" + expect + "Content-Length: 2\r\n\r\n")) == 404);
  CHECK(status_of(RawPeer(port).ask("POST /echo/e HTTP/1.1\r\n" + expect +
                                    "Content-Length: 100001\r\n\r\n")) == 413);
}

TEST_CASE("HTTP/1.0 is served, and its connection kept only when asked for", "[http_server]") {
  RoutedServer fixture;
  const int port = fixture.start();
  RawPeer once(port);
  once.send("GET /status HTTP/1.0\r\n\r\n");
  CHECK(contains(once.to_end(), "Connection: close\r\n"));
  RawPeer kept(port);
  for (int i = 0; i < 2; ++i) {
    const std::string answer = kept.ask("GET /status HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK(status_of(answer) == 200);
    CHECK(contains(answer, "Connection: keep-alive\r\n"));
  }
}

TEST_CASE("Connection: close ends the connection after the answer", "[http_server]") {
  RoutedServer fixture;
  RawPeer peer(fixture.start());
  peer.send(get("/status", "Connection: close\r\n") + get("/status"));
  const std::string all = peer.to_end();
  CHECK(contains(all, "Connection: close\r\n"));
  CHECK_FALSE(contains(all.substr(10), "HTTP/1.1"));
}

TEST_CASE("a peer that closed only its sending side still gets its answer", "[http_server]") {
  RoutedServer fixture;
  const int port = fixture.start();
  for (int i = 0; i < 20; ++i) {
    RawPeer peer(port);
    peer.send(post("/echo/half", "body"));
    peer.half_close();
    CHECK(body_of(peer.to_end()) == "half:body");
  }
}

TEST_CASE("a form is a body like any other", "[http_server]") {
  RoutedServer fixture;
  RawPeer peer(fixture.start());
  const std::string body(50'000, 'f');
  CHECK(body_of(peer.ask(post("/echo/f", body, "Content-Type: application/x-www-form-urlencoded\r\n"))) ==
        "f:" + body);
  CHECK(body_of(peer.ask(post("/echo/f", body, "Content-Type: multipart/form-data\r\n"))) == "f:" + body);
  CHECK(body_of(peer.ask(post("/echo/f", body, "Content-Encoding: gzip\r\n"))) == "f:" + body);
}

TEST_CASE("answers are neither compressed nor cut to ranges", "[http_server]") {
  RoutedServer fixture;
  RawPeer peer(fixture.start());
  const std::string body(50'000, 'r');
  const std::string answer =
      peer.ask(post("/echo/r", body, "Accept-Encoding: br, gzip\r\nRange: bytes=0-9\r\n"));
  CHECK(status_of(answer) == 200);
  CHECK(body_of(answer) == "r:" + body);
  CHECK(status_of(peer.ask(get("/status", "Range: nonsense\r\n"))) == 200);
}

TEST_CASE("an exception out of a handler is a 500 and is logged, and the connection lives on",
          "[http_server]") {
  RoutedServer fixture;
  fixture.server.route("GET", "/throw",
                       [](HttpRequest&) -> HttpResponse { throw std::runtime_error("the reason"); });
  fixture.server.route("GET", "/int", [](HttpRequest&) -> HttpResponse { throw 1; });
  RawPeer peer(fixture.start());
  const std::string answer = peer.ask(get("/throw"));
  CHECK(status_of(answer) == 500);
  CHECK(body_of(answer) == "{\"message\":\"Internal Server Error\"}\n");
  CHECK_FALSE(contains(answer, "reason"));
  CHECK(status_of(peer.ask(get("/int"))) == 500);
  CHECK(status_of(peer.ask(get("/status"))) == 200);
  const std::lock_guard lock(fixture.mutex);
  REQUIRE(fixture.notes.size() == 2);
  CHECK(fixture.notes[0] == "exception in a handler: the reason");
}

TEST_CASE("a header that would break out of the head is left out of an answer", "[http_server]") {
  RoutedServer fixture;
  fixture.server.route("GET", "/headers", [](HttpRequest&) {
    HttpResponse response = HttpResponse::text(200, "ok");
    response.headers.add("X-Bad", "a\r\nX-Injected: b");
    response.headers.add("X Bad", "a");
    response.headers.add("X-Good", "a b");
    return response;
  });
  RawPeer peer(fixture.start());
  const std::string answer = peer.ask(get("/headers"));
  CHECK(contains(answer, "\r\nX-Good: a b\r\n"));
  CHECK_FALSE(contains(answer, "Bad"));
  CHECK_FALSE(contains(answer, "Injected"));
  CHECK(body_of(answer) == "ok");
}

TEST_CASE("a request that cannot be understood is refused with a reason, and its connection closed",
          "[http_server]") {
  RoutedServer fixture;
  const int port = fixture.start();
  const auto refused = [&](const std::string& request) {
    RawPeer peer(port);
    peer.send(request);
    const std::string answer = peer.to_end();
    CHECK(contains(answer, "Connection: close\r\n"));
    CHECK(contains(answer, "{\"Error\":\""));
    return status_of(answer);
  };
  CHECK(refused(post("/echo/x", "abc", "Transfer-Encoding: chunked\r\n") + get("/status")) == 400);
  CHECK(refused(post("/echo/x", "abc", "Content-Length: 3\r\n")) == 400);
  CHECK(refused(get("/status", "A: b\r\n folded\r\n")) == 400);
  CHECK(refused(get("/" + std::string(600, 'p'))) == 414);
  CHECK(refused(get("/", "A: " + std::string(20'000, 'a') + "\r\n")) == 431);
  CHECK(refused("GET / HTTP/3.0\r\n\r\n") == 505);
}

TEST_CASE("a body over the limit is a 413 that its sender gets to see", "[http_server]") {
  RoutedServer fixture;
  const int port = fixture.start();
  const std::string much(1 << 20, 'x');
  RawPeer counted(port);
  counted.send("POST /echo/x HTTP/1.1\r\nHost: h\r\nContent-Length: 50000000\r\n\r\n");
  for (int i = 0; i < 3; ++i) counted.send(much);
  CHECK(status_of(counted.to_end()) == 413);

  RawPeer chunked(port);
  chunked.send("POST /echo/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 3; ++i) chunked.send("100000\r\n" + much + "\r\n");
  const std::string answer = chunked.to_end();
  CHECK(status_of(answer) == 413);
  CHECK(contains(answer, "more than the 100000 bytes"));
  CHECK(contains(answer, "Connection: close\r\n"));

  RawPeer unrouted(port);
  unrouted.send("POST /nothing HTTP/1.1\r\nHost: h\r\nContent-Length: 50000000\r\n\r\n" + much);
  CHECK(status_of(unrouted.to_end()) == 404);
}

TEST_CASE("a large answer arrives whole, and a peer that does not read it holds no thread", "[http_server]") {
  HttpServerOptions options;
  options.min_threads = options.max_threads = 1;
  options.patience = std::chrono::hours(1);
  RoutedServer fixture(std::move(options));
  const int port = fixture.start();
  RawPeer slow(port);
  slow.send(get("/large") + get("/status"));
  RawPeer other(port);
  for (int i = 0; i < 10; ++i) CHECK(status_of(other.ask(get("/status"))) == 200);
  CHECK(body_of(slow.answer()) == std::string(16 << 20, 'x'));
  CHECK(status_of(slow.answer()) == 200);
}

TEST_CASE("many clients at once all get their own answers", "[http_server]") {
  RoutedServer fixture;
  const int port = fixture.start();
  std::atomic<int> right{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 16; ++c) {
    clients.emplace_back([&, c] {
      for (int i = 0; i < 10; ++i) {
        RawPeer peer(port);
        for (int k = 0; k < 10; ++k) {
          const std::string body = std::to_string(c * 10'000 + i * 100 + k);
          if (body_of(peer.ask(post("/echo/n", body))) == "n:" + body) ++right;
        }
      }
    });
  }
  for (auto& client : clients) client.join();
  CHECK(right == 1600);
}

}  // namespace serverledge
