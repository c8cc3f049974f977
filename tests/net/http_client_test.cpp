#include "serverledge/net/http_client.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <functional>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "net/file_descriptor.hpp"
#include "net/raw_peer.hpp"
#include "serverledge/net/http_server.hpp"
#include "support/eventually.hpp"
#include "support/gate.hpp"
#include "support/manual_clock.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge {
namespace {

using test::contains;
using test::eventually;

// A server that does with each connection, one after the other, what the test's script for it says.
class ScriptedServer {
 public:
  using Script = std::function<void(int fd)>;

  explicit ScriptedServer(std::vector<Script> scripts)
      : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    const timeval limit{20, 0};
    setsockopt(listener_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (::bind(listener_.get(), generic, size) != 0 || ::listen(listener_.get(), 8) != 0 ||
        ::getsockname(listener_.get(), generic, &size) != 0) {
      throw std::runtime_error("cannot listen");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, scripts = std::move(scripts)] {
      for (const auto& script : scripts) {
        const FileDescriptor fd(::accept(listener_.get(), nullptr, nullptr));
        if (fd.valid()) script(fd.get());
      }
    });
  }
  ~ScriptedServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  HttpTarget target() const { return HttpTarget::tcp("127.0.0.1", port_); }

 private:
  FileDescriptor listener_;
  int port_ = 0;
  std::thread thread_;
};

// Reads a request without a body of its own, or with one of that size.
std::string receive_request(int fd, std::size_t body = 0) {
  std::string bytes;
  char piece[4096];
  while (bytes.find("\r\n\r\n") == std::string::npos || bytes.size() < bytes.find("\r\n\r\n") + 4 + body) {
    const ssize_t got = ::recv(fd, piece, sizeof(piece), 0);
    if (got <= 0) break;
    bytes.append(piece, static_cast<std::size_t>(got));
  }
  return bytes;
}

void send_text(int fd, std::string_view text) { ::send(fd, text.data(), text.size(), MSG_NOSIGNAL); }

void wait_for_end(int fd) {
  char byte = 0;
  while (::recv(fd, &byte, 1, 0) > 0) {
  }
}

HttpRequest post(std::string body) {
  HttpRequest request;
  request.method = "POST";
  request.path = "/invoke";
  request.body = std::move(body);
  return request;
}

struct Caller {
  HttpClient client{{}, system_clock()};
  Result<HttpResponse> call(const HttpTarget& target, const HttpRequest& request,
                            Duration within = std::chrono::seconds(20)) {
    return client.request(target, request, std::chrono::seconds(10), later(system_clock().now(), within));
  }
};

constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

}  // namespace

TEST_CASE("a request is sent whole, and its answer read", "[http_client]") {
  std::string seen;
  ScriptedServer server({[&](int fd) {
    seen = receive_request(fd, 7);
    send_text(fd, "HTTP/1.1 201 Created\r\nContent-Type: text/x\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok");
  }});
  HttpRequest request = post("{\"n\":1}");
  request.query = "a=b";
  request.headers = {{"X-Mine", "1"}, {"Content-Length", "99"}, {"connection", "close"}};
  const auto response = Caller().call(server.target(), request);
  REQUIRE(response);
  CHECK(response->status == 201);
  CHECK(response->content_type == "text/x");
  CHECK(*response->headers.find("x-a") == "b");
  CHECK(response->body == "ok");
  CHECK(seen == "POST /invoke?a=b HTTP/1.1\r\nHost: " + server.target().name() +
                    "\r\nX-Mine: 1\r\nContent-Length: 7\r\n\r\n{\"n\":1}");
}

TEST_CASE("the answers of executors are read: HTTP/1.0 to the end, and chunked", "[http_client]") {
  const auto python = [](int fd) {
    receive_request(fd, 2);
    send_text(
        fd,
        "HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.6 Python/3.11.2\r\nContent-type: application/json\r\n\r\n");
    send_text(fd, "{\"Success\":");
    send_text(fd, " false}");
  };
  const auto node = [](int fd) {
    for (int i = 0; i < 2; ++i) {
      receive_request(fd, 2);
      send_text(
          fd,
          "HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n{\"Success\":false");
      send_text(fd, "}\r\n0\r\n\r\n");
    }
  };
  ScriptedServer server({python, python, node});
  Caller caller;
  CHECK(caller.call(server.target(), post("{}"))->body == "{\"Success\": false}");
  CHECK(caller.call(server.target(), post("{}"))->body == "{\"Success\": false}");
  for (int i = 0; i < 2; ++i) {
    const auto response = caller.call(server.target(), post("{}"));
    REQUIRE(response);
    CHECK(response->status == 500);
    CHECK(response->body == "{\"Success\":false}");
  }
}

TEST_CASE("connections are kept, the last used goes first, and too many or too old ones are closed",
          "[http_client]") {
  test::Gate gate;
  HttpServerOptions options;
  options.min_threads = 4;
  HttpServer server(options, system_clock());
  server.route("GET", "/", [&](HttpRequest& request) {
    gate.wait();
    return HttpResponse::text(200, request.remote_address);
  });
  const auto target = HttpTarget::tcp("localhost", server.start().value());
  test::ManualClock clock;
  HttpClientOptions client_options;
  client_options.idle_per_target = 2;
  HttpClient client(client_options, clock);
  const auto ask = [&] {
    return client.request(target, {}, std::chrono::seconds(10), later(clock.now(), std::chrono::seconds(20)));
  };
  std::vector<std::future<Result<HttpResponse>>> together;
  for (int i = 0; i < 3; ++i) together.push_back(std::async(std::launch::async, ask));
  REQUIRE(gate.wait_for_arrivals(3));
  gate.open();
  for (auto& one : together) CHECK(one.get());
  CHECK(eventually([&] { return server.load().connections == 2; }));

  const std::string first = ask()->body;
  for (int i = 0; i < 5; ++i) CHECK(ask()->body == first);
  clock.advance(std::chrono::seconds(21));
  CHECK(ask()->body != first);
  CHECK(eventually([&] { return server.load().connections == 1; }));
  client.close_idle(HttpTarget::tcp("other", 1));
  CHECK(server.load().connections == 1);
  client.close_idle(target);
  CHECK(eventually([&] { return server.load().connections == 0; }));
}

TEST_CASE("who cannot be reached provably was not asked", "[http_client]") {
  Caller caller;
  HttpServer server({}, system_clock());
  const auto port = server.start();
  REQUIRE(port);
  server.stop();
  const auto refused = caller.call(HttpTarget::tcp("127.0.0.1", *port), post("{}"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kUnavailable);
  CHECK(refused.error().message ==
        "cannot reach 127.0.0.1:" + std::to_string(*port) + ": Connection refused");
  CHECK(caller.call(HttpTarget::unix_socket("/nowhere/socket"), post("{}")).error().code ==
        ErrorCode::kUnavailable);
}

TEST_CASE("connecting has its own limit, and the deadline is told as what it is", "[http_client]") {
  // A listener whose queue is full neither accepts nor refuses.
  const FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  REQUIRE(::bind(listener.get(), generic, size) == 0);
  REQUIRE(::listen(listener.get(), 0) == 0);
  REQUIRE(::getsockname(listener.get(), generic, &size) == 0);
  std::vector<FileDescriptor> queue;
  for (int i = 0; i < 4; ++i) {
    queue.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ::connect(queue.back().get(), generic, size);
  }
  const auto target = HttpTarget::tcp("127.0.0.1", ntohs(address.sin_port));
  HttpClient client({}, system_clock());
  const auto after = [](Duration time) { return later(system_clock().now(), time); };
  CHECK(client.request(target, {}, std::chrono::milliseconds(50), after(std::chrono::seconds(20)))
            .error()
            .code == ErrorCode::kUnavailable);
  CHECK(client.request(target, {}, std::chrono::seconds(20), after(std::chrono::milliseconds(50)))
            .error()
            .code == ErrorCode::kDeadline);
}

TEST_CASE("a request that was sent and not answered has an unknown outcome", "[http_client]") {
  const auto silent = [](int fd) { receive_request(fd, 2); };
  const auto halfway = [](int fd) {
    receive_request(fd, 2);
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf");
  };
  const auto resetting = [](int fd) {
    receive_request(fd, 2);
    const linger at_once{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  };
  const auto garbage = [](int fd) {
    receive_request(fd, 2);
    send_text(fd, "hello?\r\n\r\n");
  };
  ScriptedServer server({silent, halfway, resetting, garbage});
  Caller caller;
  for (int i = 0; i < 4; ++i) {
    CHECK(caller.call(server.target(), post("{}")).error().code == ErrorCode::kUnknownOutcome);
  }
}

TEST_CASE("a kept connection that the peer has closed is replaced silently", "[http_client]") {
  std::promise<void> closed;
  ScriptedServer server({[&](int fd) {
                           receive_request(fd, 2);
                           send_text(fd, kOk);
                           ::shutdown(fd, SHUT_RDWR);
                           closed.set_value();
                         },
                         [](int fd) {
                           receive_request(fd, 2);
                           send_text(fd, kOk);
                         }});
  Caller caller;
  REQUIRE(caller.call(server.target(), post("{}")));
  closed.get_future().wait();
  CHECK(caller.call(server.target(), post("{}")));
}

TEST_CASE("a kept connection that breaks with the request on it: a GET is repeated, a POST is not",
          "[http_client]") {
  const auto answer_one_then_break = [](int fd) {
    receive_request(fd);
    send_text(fd, kOk);
    receive_request(fd);
  };
  const auto answer = [](int fd) {
    receive_request(fd);
    send_text(fd, kOk);
  };
  {
    ScriptedServer server({answer_one_then_break, answer});
    Caller caller;
    REQUIRE(caller.call(server.target(), {}));
    CHECK(caller.call(server.target(), {}));
  }
  ScriptedServer server({answer_one_then_break, answer_one_then_break});
  Caller caller;
  REQUIRE(caller.call(server.target(), {}));
  CHECK(caller.call(server.target(), post("")).error().code == ErrorCode::kUnknownOutcome);
  REQUIRE(caller.call(server.target(), {}));  // and the pool is none the worse for it
}

TEST_CASE("a deadline ends a call at whatever stage it is", "[http_client]") {
  const auto silent = [](int fd) { wait_for_end(fd); };
  const auto dripping = [](int fd) {
    receive_request(fd);
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf");
    wait_for_end(fd);
  };
  test::Gate gate;
  const auto not_reading = [&gate](int) { gate.wait(); };
  ScriptedServer server({silent, dripping, not_reading});
  Caller caller;
  CHECK(caller.call(server.target(), {}, std::chrono::milliseconds(30)).error().code == ErrorCode::kDeadline);
  CHECK(caller.call(server.target(), {}, std::chrono::milliseconds(30)).error().code == ErrorCode::kDeadline);
  CHECK(caller.call(server.target(), post(std::string(32 << 20, 'x')), std::chrono::milliseconds(100))
            .error()
            .code == ErrorCode::kDeadline);
  CHECK(caller.call(server.target(), {}, std::chrono::milliseconds(-1)).error().code == ErrorCode::kDeadline);
  gate.open();
}

TEST_CASE("a call is given up when its caller says so", "[http_client]") {
  std::promise<void> received;
  ScriptedServer server({[&](int fd) {
    receive_request(fd);
    received.set_value();
    wait_for_end(fd);
  }});
  std::stop_source stop;
  HttpRequest request;
  request.peer_gone = stop.get_token();
  Caller caller;
  auto call = std::async(std::launch::async, [&] { return caller.call(server.target(), request); });
  received.get_future().wait();
  stop.request_stop();
  CHECK(call.get().error().code == ErrorCode::kCancelled);
}

TEST_CASE("an answer over the limit is refused", "[http_client]") {
  HttpServer server({}, system_clock());
  server.route("GET", "/", [](HttpRequest&) { return HttpResponse::text(200, std::string(1001, 'x')); });
  const auto target = HttpTarget::tcp("127.0.0.1", server.start().value());
  HttpClientOptions options;
  options.response_max = 1000;
  HttpClient client(options, system_clock());
  const auto response = client.request(target, {}, std::chrono::seconds(10),
                                       later(system_clock().now(), std::chrono::seconds(20)));
  CHECK(response.error().code == ErrorCode::kTooLarge);
}

TEST_CASE("a refusal that comes while the body is still being sent is the answer", "[http_client]") {
  HttpServer server({}, system_clock());
  server.route("POST", "/invoke", [](HttpRequest&) { return HttpResponse::text(200, ""); },
               {.body_max = 1000});
  const auto target = HttpTarget::tcp("127.0.0.1", server.start().value());
  const auto response = Caller().call(target, post(std::string(64 << 20, 'x')));
  REQUIRE(response);
  CHECK(response->status == 413);
}

TEST_CASE("large bodies go there and back", "[http_client]") {
  HttpServer server({}, system_clock());
  server.route("POST", "/invoke",
               [](HttpRequest& request) { return HttpResponse::text(200, std::move(request.body)); },
               {.body_max = 64 << 20});
  const auto target = HttpTarget::tcp("127.0.0.1", server.start().value());
  std::string body(20 << 20, 'x');
  for (std::size_t i = 0; i < body.size(); i += 1000) body[i] = static_cast<char>(i);
  const auto response = Caller().call(target, post(body));
  REQUIRE(response);
  CHECK(response->body == body);
}

TEST_CASE("a Unix socket is asked for localhost", "[http_client]") {
  const test::TemporaryFolder folder;
  HttpServerOptions options;
  options.unix_path = folder.file("engine.sock");
  HttpServer server(options, system_clock());
  server.route("POST", "/invoke",
               [](HttpRequest& request) { return HttpResponse::text(200, *request.headers.find("Host")); });
  REQUIRE(server.start());
  Caller caller;
  for (int i = 0; i < 3; ++i) {
    CHECK(caller.call(HttpTarget::unix_socket(options.unix_path), post("{}"))->body == "localhost");
  }
  CHECK(server.load().connections == 1);
}

TEST_CASE("what cannot be sent as what it says is refused", "[http_client]") {
  Caller caller;
  const auto refused = [&](HttpRequest request) {
    return caller.call(HttpTarget::tcp("127.0.0.1", 1), request).error().code == ErrorCode::kInvalid;
  };
  HttpRequest request;
  request.path = "/a b";
  CHECK(refused(request));
  request.path = "/\r\nX: y";
  CHECK(refused(request));
  request.path = "";
  CHECK(refused(request));
  request.path = "/";
  request.headers = {{"A", "b\r\nC: d"}};
  CHECK(refused(request));
  request.headers = {{"A:", "b"}};
  CHECK(refused(request));
}

TEST_CASE("a peer that goes away causes no SIGPIPE in a client", "[http_client]") {
  struct sigaction before {};
  struct sigaction deadly {};
  deadly.sa_handler = SIG_DFL;
  sigaction(SIGPIPE, &deadly, &before);
  const auto reset = [](int fd) {
    const linger at_once{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  };
  ScriptedServer server({reset, reset, reset});
  Caller caller;
  for (int i = 0; i < 3; ++i) CHECK_FALSE(caller.call(server.target(), post(std::string(8 << 20, 'x'))));
  sigaction(SIGPIPE, &before, nullptr);
}

TEST_CASE("one client serves many threads", "[http_client]") {
  HttpServer server({}, system_clock());
  server.route("POST", "/invoke", [](HttpRequest& request) { return HttpResponse::text(200, request.body); });
  const auto target = HttpTarget::tcp("127.0.0.1", server.start().value());
  Caller caller;
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string body = std::to_string(t * 1000 + i);
        const auto response = caller.call(target, post(body));
        if (response && response->body == body) ++right;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(right == 800);
}

}  // namespace serverledge
