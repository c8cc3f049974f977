#include "serverledge/net/http_server.hpp"

#include <catch2/catch.hpp>

#include "serverledge/net/http_client.hpp"

namespace serverledge {

TEST_CASE("a request is answered by the handler of its route", "[http_server]") {
  HttpServer server({}, system_clock());
  server.route("POST", "/invoke/:fun", [](HttpRequest& request) {
    return HttpResponse::json(200, std::string(request.path_parameter("fun")) + "=" + request.body);
  });
  const auto port = server.start();
  REQUIRE(port);
  HttpClient client({}, system_clock());
  HttpRequest request;
  request.method = "POST";
  request.path = "/invoke/hello";
  request.body = "{}";
  for (int i = 0; i < 3; ++i) {
    const auto response =
        client.request(HttpTarget::tcp("127.0.0.1", *port), request, std::chrono::seconds(1),
                       later(system_clock().now(), std::chrono::seconds(10)));
    REQUIRE(response);
    CHECK(response->status == 200);
    CHECK(response->body == "hello={}");
  }
}

}  // namespace serverledge
