#include "serverledge/net/http_message.hpp"

#include <catch2/catch.hpp>

namespace serverledge {

TEST_CASE("headers are found whatever the case of their name", "[http_message]") {
  HttpHeaders headers{{"Content-Type", "a"}, {"X-One", "1"}, {"x-one", "2"}};
  CHECK(*headers.find("content-type") == "a");
  CHECK(*headers.find("X-ONE") == "1");
  CHECK(headers.find("X") == nullptr);
  headers.set("X-one", "3");
  CHECK(headers.size() == 2);
  CHECK(*headers.find("x-one") == "3");
  headers.remove("CONTENT-TYPE");
  CHECK(headers.find("Content-Type") == nullptr);
}

TEST_CASE("a query gives its parameters decoded", "[http_message]") {
  HttpRequest request;
  CHECK_FALSE(request.query_parameter("a"));
  request.query = "details=true&empty=&bare&sp%61ce=a+b%2B%zz%4&details=false&";
  CHECK(request.query_parameter("details") == "true");
  CHECK(request.query_parameter("empty") == "");
  CHECK(request.query_parameter("bare") == "");
  CHECK(request.query_parameter("space") == "a b+%zz%4");
  CHECK_FALSE(request.query_parameter("absent"));
}

TEST_CASE("a path parameter that the pattern has not is empty", "[http_message]") {
  HttpRequest request;
  request.path_parameters = {{"fun", "hello"}};
  CHECK(request.path_parameter("fun") == "hello");
  CHECK(request.path_parameter("other").empty());
}

}  // namespace serverledge
