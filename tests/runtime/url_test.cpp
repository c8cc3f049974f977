#include "runtime/url.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace serverledge;
using Catch::Contains;

TEST_CASE("a URL is read into what a request needs", "[url]") {
  const auto parsed = [](const std::string& text) {
    const auto url = parse_url(text);
    INFO(text);
    REQUIRE(url);
    return *url;
  };
  CHECK(parsed("http://host/a/b?c=d#e") == Url{"http", "host", 80, "/a/b?c=d"});
  CHECK(parsed("HTTPS://Host.example:8443") == Url{"https", "Host.example", 8443, "/"});
  CHECK(parsed("http://[::1]:81/x") == Url{"http", "::1", 81, "/x"});
  CHECK(parsed("http://[fe80::1%25eth0]/") == Url{"http", "fe80::1%25eth0", 80, "/"});
  CHECK(parsed("http://h?q") == Url{"http", "h", 80, "/?q"});
  CHECK(parsed("ftp://h/x") == Url{"ftp", "h", 0, "/x"});
  CHECK(parsed("http://h:/x") == Url{"http", "h", 80, "/x"});
  CHECK(parsed("https://h:443/x").text() == "https://h/x");
  CHECK(parsed("http://[::1]:80/x").text() == "http://[::1]/x");
  CHECK(parsed("http://[::1]:81/x").text() == "http://[::1]:81/x");
}

TEST_CASE("what is no URL is refused with the reason", "[url]") {
  for (const char* text :
       {"", "host/x", "://host", "http:///x", "http://u:p@host/x", "http://h:0/", "http://h:65536/",
        "http://h:8x/", "http://h:-1/", "http://[::1/", "http://[::1]x/", "http://h o/", "http://h/\xc3\xa9",
        "http://h/a b", "http://h/\r\nX: y", "http://h<x>/", "http://?x"}) {
    CAPTURE(text);
    const auto url = parse_url(text);
    REQUIRE_FALSE(url);
    CHECK(url.error().code == ErrorCode::kInvalid);
    CHECK_THAT(url.error().message, Contains("is not a URL"));
  }
}

TEST_CASE("a redirect's location is resolved as RFC 3986 says", "[url]") {
  const Url base = *parse_url("http://h:81/a/b/c?q=1");
  const auto resolved = [&](const std::string& location) {
    const auto url = resolve_url(base, location);
    return url ? url->text() : url.error().message;
  };
  CHECK(resolved("https://other/x") == "https://other/x");
  CHECK(resolved("//other/x?y") == "http://other/x?y");
  CHECK(resolved("/x/y?z#f") == "http://h:81/x/y?z");
  CHECK(resolved("d") == "http://h:81/a/b/d");
  CHECK(resolved("./d?x=/../y") == "http://h:81/a/b/d?x=/../y");
  CHECK(resolved("../d/") == "http://h:81/a/d/");
  CHECK(resolved("../../../../d") == "http://h:81/d");
  CHECK(resolved("..") == "http://h:81/a/");
  CHECK(resolved("?x") == "http://h:81/a/b/c?x");
  CHECK(resolved("/go?to=http://elsewhere/") == "http://h:81/go?to=http://elsewhere/");
  CHECK_THAT(resolved("http://u@h/"), Contains("user name"));
}
