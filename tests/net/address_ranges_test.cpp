#include "serverledge/net/address_ranges.hpp"

#include <catch2/catch.hpp>

#include "serverledge/net/http_client.hpp"
#include "serverledge/net/http_server.hpp"

namespace serverledge {
namespace {

TEST_CASE("an address is in the networks that hold it, and in no other", "[net]") {
  AddressRanges ranges;
  CHECK_FALSE(ranges.contains("172.18.0.2"));
  REQUIRE(ranges.add("172.18.0.0/16"));
  REQUIRE(ranges.add("192.0.2.7"));
  REQUIRE(ranges.add("fd00:1::/33"));
  CHECK(ranges.contains("172.18.0.2"));
  CHECK(ranges.contains("172.18.255.255"));
  CHECK(ranges.contains("::ffff:172.18.0.2"));
  CHECK_FALSE(ranges.contains("172.19.0.2"));
  CHECK_FALSE(ranges.contains("172.17.255.255"));
  CHECK(ranges.contains("192.0.2.7"));
  CHECK_FALSE(ranges.contains("192.0.2.6"));
  CHECK(ranges.contains("fd00:1:7fff::1"));
  CHECK_FALSE(ranges.contains("fd00:1:8000::1"));
  CHECK_FALSE(ranges.contains("nonsense"));
  CHECK_FALSE(ranges.contains(""));
}

TEST_CASE("a network with bits of a host counts as the network", "[net]") {
  AddressRanges ranges;
  REQUIRE(ranges.add("10.1.2.3/8"));
  CHECK(ranges.contains("10.200.0.1"));
  REQUIRE(ranges.add("0.0.0.0/0"));
  CHECK(ranges.contains("192.0.2.1"));
  CHECK_FALSE(ranges.contains("fd00::1"));
}

TEST_CASE("what is no network is refused", "[net]") {
  AddressRanges ranges;
  for (const char* text :
       {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "fd00::/129", "host"})
    CHECK_FALSE(ranges.add(text));
}

TEST_CASE("a server closes connections of refused addresses unread, and serves others", "[net]") {
  HttpServerOptions options;
  const auto refused = std::make_shared<AddressRanges>();
  options.refused = refused;
  HttpServer server(options, system_clock());
  server.route("GET", "/", [](HttpRequest&) { return HttpResponse::text(200, "served"); });
  const Result<int> port = server.start();
  REQUIRE(port);
  HttpClient client({}, system_clock());
  const auto ask = [&] {
    client.close_idle();
    return client.request(HttpTarget::tcp("127.0.0.1", *port), {}, std::chrono::seconds(30),
                          later(system_clock().now(), std::chrono::seconds(30)));
  };
  CHECK(ask()->body == "served");
  REQUIRE(refused->add("127.0.0.0/8"));
  CHECK_FALSE(ask());
}

}  // namespace
}  // namespace serverledge
