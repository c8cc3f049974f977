#include "net/route_table.hpp"

#include <catch2/catch.hpp>

namespace serverledge {
namespace {

RouteTable table() {
  RouteTable routes;
  routes.add("POST", "/invoke/:fun", {}, {});
  routes.add("POST", "/invoke/special", {}, {});
  routes.add("GET", "/function", {}, {});
  routes.add("PUT", "/function", {}, {});
  routes.add("GET", "/a/:x/b/:y", {}, {});
  return routes;
}

}  // namespace

TEST_CASE("a path leads to its route, and parameters are decoded", "[route_table]") {
  const RouteTable routes = table();
  const auto match = routes.find("POST", "/invoke/h%C3%A9llo%2Fthere+1");
  REQUIRE(match.route != nullptr);
  REQUIRE(match.parameters.size() == 1);
  CHECK(match.parameters[0].first == "fun");
  CHECK(match.parameters[0].second == "h\xC3\xA9llo/there+1");
  CHECK(routes.find("GET", "/a/1/b/2").parameters.size() == 2);
  CHECK(routes.find("GET", "/func%74ion").route != nullptr);
}

TEST_CASE("a fixed segment goes before a parameter, whatever the order of adding", "[route_table]") {
  const RouteTable routes = table();
  const auto match = routes.find("POST", "/invoke/special");
  REQUIRE(match.route != nullptr);
  CHECK(match.parameters.empty());
}

TEST_CASE("what is no route is told apart from a wrong method", "[route_table]") {
  const RouteTable routes = table();
  for (const char* path : {"/", "", "/invoke", "/invoke/", "/invoke/a/", "/invoke/a/b", "/function/",
                           "//function", "/Function", "/a//b/2", "*"}) {
    INFO(path);
    const auto match = routes.find("GET", path);
    CHECK(match.route == nullptr);
    CHECK(match.allowed.empty());
  }
  CHECK(routes.find("HEAD", "/function").route == nullptr);
  CHECK(routes.find("HEAD", "/function").allowed == "GET, PUT");
  CHECK(routes.find("GET", "/invoke/special").allowed == "POST");
}

}  // namespace serverledge
