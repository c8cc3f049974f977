#include "serverledge/runtime/code_download.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <future>
#include <string>
#include <thread>

#include "net/file_descriptor.hpp"
#include "serverledge/core/clock.hpp"
#include "support/skip.hpp"
#include "support/temporary_folder.hpp"
#include "web_server.hpp"

using namespace serverledge;
using namespace std::chrono_literals;
using Catch::Contains;
using test::answer;
using test::TemporaryFolder;
using test::WebServer;

namespace {

Result<std::string> fetch(const std::string& url, const CodeDownloadOptions& options = {}) {
  return download_code(url, options, system_clock());
}

Error refused(const std::string& url, const CodeDownloadOptions& options = {}) {
  const auto fetched = fetch(url, options);
  REQUIRE_FALSE(fetched);
  return fetched.error();
}

}  // namespace

TEST_CASE("code is fetched from a URL, however the answer is framed", "[download]") {
  const std::string code = "def handler(p, c):\n" + std::string(1 << 20, '#');
  WebServer server([&](const std::string& target) {
    if (target == "/chunked")
      return std::string(
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    if (target == "/closed") return "HTTP/1.0 200 OK\r\n\r\n" + code;
    return answer(200, target == "/f.py?v=1" ? code : "wrong target");
  });
  CHECK(*fetch(server.url("/f.py?v=1#fragment")) == code);
  CHECK(*fetch(server.url("/chunked")) == "abcde");
  CHECK(*fetch(server.url("/closed")) == code);
}

TEST_CASE("redirects are followed, a few", "[download]") {
  WebServer server([](const std::string& target) {
    if (target == "/end") return answer(200, "code");
    if (target == "/first") return answer(302, "", "Location: /second\r\n");
    if (target == "/second") return answer(308, "moved", "Location: ./end\r\n");
    if (target == "/nowhere") return answer(301, "");
    if (target == "/ftp") return answer(302, "", "Location: ftp://127.0.0.1/x\r\n");
    return answer(302, "", "Location: /loop\r\n");
  });
  CHECK(*fetch(server.url("/first")) == "code");
  CHECK_THAT(refused(server.url("/loop")).message, Contains("more than 5 redirects"));
  CHECK_THAT(refused(server.url("/nowhere")).message, Contains("the server answered 301"));
  CHECK_THAT(refused(server.url("/ftp")).message, Contains("the scheme ftp is not allowed"));
  CHECK_THAT(refused(server.url("/first"), {.redirects_max = 1}).message, Contains("more than 1 redirects"));
}

TEST_CASE("an answer other than 200 is refused with its status", "[download]") {
  WebServer server([](const std::string&) { return answer(404, "no"); });
  const Error error = refused(server.url("/f.py"));
  CHECK(error.code == ErrorCode::kInvalid);
  CHECK(error.message == "cannot fetch " + server.url("/f.py") + ": the server answered 404");
}

TEST_CASE("an answer over the size limit is given up, told or not", "[download]") {
  WebServer server([](const std::string& target) {
    return target == "/told" ? answer(200, std::string(2000, 'x'))
                             : "HTTP/1.1 200 OK\r\n\r\n" + std::string(2000, 'x');
  });
  CHECK(refused(server.url("/told"), {.size_max = 1999}).code == ErrorCode::kTooLarge);
  CHECK(refused(server.url("/untold"), {.size_max = 1999}).code == ErrorCode::kTooLarge);
  CHECK(fetch(server.url("/told"), {.size_max = 2000}));
}

TEST_CASE("fetching ends at its time limit, whatever the server drips", "[download]") {
  std::promise<void> over;
  WebServer server([&, released = over.get_future().share()](const std::string& target) {
    if (target == "/silent") released.wait();
    return target == "/half" ? std::string("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                             : answer(200, "");
  });
  CHECK(refused(server.url("/silent"), {.timeout = 20ms}).code == ErrorCode::kDeadline);
  over.set_value();
  CHECK(refused(server.url("/half")).code == ErrorCode::kUnavailable);
}

TEST_CASE("only allowed schemes are fetched, and none if none is allowed", "[download]") {
  CHECK(refused("ftp://127.0.0.1/x").code == ErrorCode::kInvalid);
  CHECK_THAT(refused("file:///etc/passwd").message, Contains("is not a URL"));
  CHECK_THAT(refused("http://127.0.0.1:1/x", {.schemes = {"https"}}).message,
             Contains("the scheme http is not allowed, only https"));
  CHECK_THAT(refused("http://127.0.0.1:1/x", {.schemes = {}}).message, Contains("not allowed here"));
  CHECK_THAT(refused("ftp://127.0.0.1/x", {.schemes = {"ftp"}}).message, Contains("not allowed"));
}

TEST_CASE("a server that is not there is an error that names the URL", "[download]") {
  int port = 0;
  {
    const WebServer gone([](const std::string&) { return answer(200, ""); });
    port = gone.port();
  }
  const Error error = refused("http://127.0.0.1:" + std::to_string(port) + "/x");
  CHECK(error.code == ErrorCode::kUnavailable);
  CHECK_THAT(error.message, Contains("cannot fetch http://127.0.0.1:" + std::to_string(port) + "/x"));
  CHECK(refused("http://nothing.invalid/x", {.timeout = 10s}).code != ErrorCode::kInternal);
}

TEST_CASE("https is fetched from a server whose certificate is valid for its name", "[download]") {
  const TemporaryFolder folder;
  const std::string ca = folder.file("ca.pem");
  const std::string code(3 << 20, 'c');
  const auto server = WebServer::tls(
      [&](const std::string& target) {
        if (target == "/down") return answer(302, "", "Location: http://127.0.0.1:1/x\r\n");
        return target == "/closed" ? "HTTP/1.1 200 OK\r\n\r\n" + code : answer(200, code);
      },
      "IP:127.0.0.1", ca);
  const CodeDownloadOptions trusting{.ca_file = ca};
  CHECK(*fetch(server->url("/f.py"), trusting) == code);
  CHECK(*fetch(server->url("/closed"), trusting) == code);
  CHECK_THAT(refused(server->url("/down"), trusting).message, Contains("redirects from https to http"));
  const Error unknown = refused(server->url("/f.py"));
  CHECK(unknown.code == ErrorCode::kInvalid);
  CHECK_THAT(unknown.message, Contains("the certificate of 127.0.0.1 is not valid: self-signed certificate"));
  server->cut();
  CHECK(refused(server->url("/closed"), trusting).code == ErrorCode::kUnavailable);
  CHECK(fetch(server->url("/f.py"), trusting));

  const auto other =
      WebServer::tls([&](const std::string&) { return answer(200, code); }, "DNS:elsewhere.example", ca);
  CHECK_THAT(refused(other->url("/f.py"), trusting).message, Contains("is not valid: IP address mismatch"));
  std::string named = other->url("/f.py");
  named.replace(named.find("127.0.0.1"), 9, "localhost");
  CHECK_THAT(refused(named, trusting).message,
             Contains("the certificate of localhost is not valid: hostname mismatch"));
}

TEST_CASE("a plain server is no https server, and no authorities are an error", "[download]") {
  WebServer server([](const std::string&) { return answer(200, "x"); });
  const std::string url = "https" + server.url("/x").substr(4);
  const TemporaryFolder folder;
  const std::string ca = folder.file("ca.pem");
  const auto other = WebServer::tls([](const std::string&) { return answer(200, "x"); }, "IP:127.0.0.1", ca);
  CHECK_THAT(refused(url, {.ca_file = ca}).message, Contains("TLS: "));
  CHECK(refused(url, {.ca_file = folder.file("missing.pem")}).code == ErrorCode::kUnavailable);
}

TEST_CASE("addresses of the local link, where clouds keep credentials, are refused", "[download]") {
  bool possible = false;
  Error error;
  // A network of this thread's own, with such an address in it.
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) != 0) return;
    const FileDescriptor any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    auto* address = reinterpret_cast<sockaddr_in*>(&request.ifr_addr);
    address->sin_family = AF_INET;
    ::inet_pton(AF_INET, "169.254.169.254", &address->sin_addr);
    if (::ioctl(any.get(), SIOCSIFADDR, &request) != 0) return;
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (::ioctl(any.get(), SIOCSIFFLAGS, &request) != 0) return;
    WebServer server([](const std::string&) { return answer(200, "secret"); }, "0.0.0.0");
    const auto fetched =
        fetch("http://169.254.169.254:" + std::to_string(server.port()) + "/latest/meta-data");
    possible = true;
    if (!fetched) error = fetched.error();
  }).join();
  if (!possible) test::skip_test("no right to a network namespace");
  CHECK(error.code == ErrorCode::kInvalid);
  CHECK_THAT(error.message, Contains("addresses of the local link are not allowed"));
}
