#include "net/request_reader.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace serverledge {
namespace {

using RequestState = RequestReader::State;

struct RequestReading {
  std::vector<HttpRequest> requests;
  int refused = 0;  // status; 0: not
  std::string why;
  RequestState state = RequestState::kNeedsHead;
  std::ptrdiff_t budget_left = 0;
};

// What a reader makes of these bytes when they come in pieces of that size.
RequestReading read_request_in_pieces(std::string_view bytes, std::size_t piece, std::size_t body_max = 1000,
                                      std::size_t budget = 1 << 20) {
  const RequestReader::Limits limits;
  BodyBudget body_budget(budget);
  RequestReading reading;
  {
    RequestReader reader(limits, body_budget);
    while (true) {
      const RequestState state = reader.advance();
      if (state == RequestState::kHeadWhole) {
        reader.admit(body_max);
      } else if (state == RequestState::kWhole) {
        reading.requests.push_back(std::move(reader.request()));
        reader.next();
      } else if (state == RequestState::kRefused) {
        reading.refused = reader.refusal().status;
        reading.why = reader.refusal().message;
        break;
      } else if (bytes.empty()) {
        break;
      } else {
        const auto space = reader.space();
        REQUIRE(!space.empty());
        const std::size_t size = std::min({piece, space.size(), bytes.size()});
        std::memcpy(space.data(), bytes.data(), size);
        bytes.remove_prefix(size);
        reader.filled(size);
      }
    }
    reading.state = reader.state();
  }
  reading.budget_left = body_budget.left();
  return reading;
}

RequestReading read_request(std::string_view bytes) { return read_request_in_pieces(bytes, bytes.size()); }

std::string with_headers(std::string_view headers, std::string_view body = {}) {
  return std::string("POST /x HTTP/1.1\r\nHost: h\r\n").append(headers).append("\r\n").append(body);
}

int refusal_of(std::string_view bytes) {
  const RequestReading whole = read_request(bytes);
  const RequestReading bytewise = read_request_in_pieces(bytes, 1);
  CHECK(whole.refused == bytewise.refused);
  CHECK(whole.why == bytewise.why);
  return whole.refused;
}

}  // namespace

TEST_CASE("a request is the same however its bytes are cut", "[request_reader]") {
  const std::string body(300, 'b');
  const std::string bytes =
      "\r\nPOST /invoke/hello?details=true&x HTTP/1.1\r\nHost: node\r\nX-Empty:\r\nX-Spaces: \t a b \t\r\n"
      "content-length: 300\r\n\r\n" +
      body + "GET / HTTP/1.1\r\nHost: node\r\n\r\n" +
      "PUT /c HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: Chunked\r\n\r\n"
      "5;name=value\r\nhello\r\n00A\r\n worldwide\r\n0\r\nTrailer: t\r\n\r\n";
  for (const std::size_t piece :
       {bytes.size(), std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{100}}) {
    const RequestReading reading = read_request_in_pieces(bytes, piece);
    INFO("in pieces of " << piece << ": " << reading.why);
    REQUIRE(reading.requests.size() == 3);
    const HttpRequest& first = reading.requests[0];
    CHECK(first.method == "POST");
    CHECK(first.path == "/invoke/hello");
    CHECK(first.query == "details=true&x");
    CHECK(*first.headers.find("x-empty") == "");
    CHECK(*first.headers.find("X-SPACES") == "a b");
    CHECK(first.body == body);
    CHECK(reading.requests[1].method == "GET");
    CHECK(reading.requests[1].body.empty());
    CHECK(reading.requests[2].body == "hello worldwide");
    CHECK(reading.state == RequestState::kNeedsHead);
    CHECK(reading.budget_left == 1 << 20);
  }
}

TEST_CASE("framing that two readers could understand differently is refused", "[request_reader]") {
  CHECK(refusal_of(with_headers("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n")) == 400);
  CHECK(refusal_of(with_headers("Content-Length: 3\r\nContent-Length: 3\r\n")) == 400);
  CHECK(refusal_of(with_headers("Content-Length: 3, 3\r\n")) == 400);
  CHECK(refusal_of(with_headers("Content-Length: +3\r\n")) == 400);
  CHECK(refusal_of(with_headers("Content-Length: -1\r\n")) == 400);
  CHECK(refusal_of(with_headers("Content-Length: 0x3\r\n")) == 400);
  CHECK(refusal_of(with_headers("Content-Length:\r\n")) == 400);
  CHECK(refusal_of(with_headers("Content-Length: 18446744073709551616\r\n")) == 400);
  CHECK(refusal_of(with_headers("Content-Length : 3\r\n")) == 400);
  CHECK(refusal_of(with_headers("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")) == 400);
  CHECK(refusal_of(with_headers("Transfer-Encoding: gzip, chunked\r\n")) == 501);
  CHECK(refusal_of(with_headers("Transfer-Encoding: xchunked\r\n")) == 501);
  CHECK(refusal_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400);
}

TEST_CASE("heads that are not HTTP are refused", "[request_reader]") {
  CHECK(refusal_of(with_headers("A: b\r\n c: folded\r\n")) == 400);
  CHECK(refusal_of(with_headers("A: b\r\n\tfolded\r\n")) == 400);
  CHECK(refusal_of(with_headers("no colon\r\n")) == 400);
  CHECK(refusal_of(with_headers(": no name\r\n")) == 400);
  CHECK(refusal_of(with_headers("A\x01: b\r\n")) == 400);
  CHECK(refusal_of(with_headers("A: b\x7f\r\n")) == 400);
  CHECK(refusal_of(with_headers("A: b\rContent-Length: 5\r\n")) == 400);
  CHECK(refusal_of(with_headers("A: b\nContent-Length: 5\r\n")) == 400);
  CHECK(refusal_of(with_headers(std::string_view("A: \0b\r\n", 7))) == 400);
  CHECK(refusal_of("GET / HTTP/1.1\n\n") == 400);
  CHECK(refusal_of("GET /\r\n\r\n") == 400);
  CHECK(refusal_of("GET  / HTTP/1.1\r\nHost: h\r\n\r\n") == 400);
  CHECK(refusal_of("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n") == 400);
  CHECK(refusal_of("GET /# HTTP/1.1\r\nHost: h\r\n\r\n") == 400);
  CHECK(refusal_of("G(T / HTTP/1.1\r\nHost: h\r\n\r\n") == 400);
  CHECK(refusal_of("GET / HTTP/1.10\r\nHost: h\r\n\r\n") == 505);
  CHECK(refusal_of("PRI * HTTP/2.0\r\n\r\n") == 505);
  CHECK(refusal_of("GET / XTTP/1.1\r\nHost: h\r\n\r\n") == 400);
  CHECK(refusal_of("GET / HTTP/1.1\r\n\r\n") == 400);
  CHECK(refusal_of("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") == 400);
  CHECK(refusal_of(with_headers("Expect: something\r\n")) == 417);
  CHECK(refusal_of("\x16\x03\x01\x02") == 400);  // TLS, which sends no line that would end
}

TEST_CASE("chunked bodies that are not well-formed are refused", "[request_reader]") {
  const auto chunked = [](std::string_view body) {
    return with_headers("Transfer-Encoding: chunked\r\n", body);
  };
  CHECK(refusal_of(chunked("-2\r\nab\r\n0\r\n\r\n")) == 400);
  CHECK(refusal_of(chunked("+2\r\nab\r\n0\r\n\r\n")) == 400);
  CHECK(refusal_of(chunked("0x2\r\nab\r\n0\r\n\r\n")) == 400);
  CHECK(refusal_of(chunked("\r\nab\r\n0\r\n\r\n")) == 400);
  CHECK(refusal_of(chunked("2 \r\nab\r\n0\r\n\r\n")) == 400);
  CHECK(refusal_of(chunked("2\nab\r\n0\r\n\r\n")) == 400);
  CHECK(refusal_of(chunked("2\r\nabc\r\n0\r\n\r\n")) == 400);
  CHECK(refusal_of(chunked("2\r\nab0\r\n\r\n")) == 400);
  CHECK(refusal_of(chunked("2;a\rb\r\nab\r\n0\r\n\r\n")) == 400);
  CHECK(refusal_of(chunked("10000000000000000\r\n")) == 400);
  CHECK(refusal_of(chunked("ffffffffffffffff\r\n" + std::string(2000, 'x'))) == 413);
  CHECK(refusal_of(chunked("1;" + std::string(2000, 'x'))) == 400);
  CHECK(refusal_of(chunked("0\r\n" + std::string(900, 'x') + "\n")) == 400);
}

TEST_CASE("limits hold while reading, and at the limit all is well", "[request_reader]") {
  const RequestReader::Limits limits;
  const std::string target(limits.path_max - 1, 'p');
  CHECK(refusal_of("GET /" + target + " HTTP/1.1\r\nHost: h\r\n\r\n") == 0);
  CHECK(refusal_of("GET /" + target + "p HTTP/1.1\r\nHost: h\r\n\r\n") == 414);
  CHECK(refusal_of("GET /?" + std::string(5000, 'q') + " HTTP/1.1\r\nHost: h\r\n\r\n") == 0);
  CHECK(refusal_of(with_headers("A: " + std::string(limits.head_max, 'a'))) == 431);
  std::string many;
  for (int i = 0; i < 101; ++i) many += "A: b\r\n";
  CHECK(refusal_of(with_headers(many)) == 400);

  CHECK(refusal_of(with_headers("Content-Length: 1000\r\n", std::string(1000, 'x'))) == 0);
  CHECK(refusal_of(with_headers("Content-Length: 1001\r\n")) == 413);
  CHECK(refusal_of(with_headers("Content-Length: 18446744073709551615\r\n")) == 413);
  const std::string chunk = "1f4\r\n" + std::string(500, 'x') + "\r\n";
  CHECK(refusal_of(with_headers("Transfer-Encoding: chunked\r\n", chunk + chunk + "0\r\n\r\n")) == 0);
  CHECK(refusal_of(with_headers("Transfer-Encoding: chunked\r\n", chunk + chunk + "1\r\nx\r\n0\r\n\r\n")) ==
        413);
}

TEST_CASE("a body takes of the budget what has come of it, and gives it back", "[request_reader]") {
  const std::string half(30'000, 'x');
  const std::string counted = with_headers("Content-Length: 60000\r\n", half);
  const std::string chunked = with_headers("Transfer-Encoding: chunked\r\n", "7530\r\n" + half + "\r\n");
  for (const auto& bytes : {counted, chunked}) {
    const RequestReading refused = read_request_in_pieces(bytes, 1000, 100'000, 20'000);
    CHECK(refused.refused == 503);
    CHECK(refused.budget_left == 20'000);
    const RequestReading waiting = read_request_in_pieces(bytes, 1000, 100'000, 70'000);
    CHECK(waiting.state == RequestState::kNeedsBody);
    CHECK(waiting.budget_left == 70'000);
  }
  // A length that is only claimed costs next to nothing.
  CHECK(read_request_in_pieces(with_headers("Content-Length: 60000\r\n", "x"), 1000, 100'000, 17'000).state ==
        RequestState::kNeedsBody);
}

TEST_CASE("whether a connection may be kept follows version and Connection", "[request_reader]") {
  const RequestReader::Limits limits;
  BodyBudget budget(1000);
  const auto kept = [&](std::string_view bytes) {
    RequestReader reader(limits, budget);
    std::memcpy(reader.space().data(), bytes.data(), bytes.size());
    reader.filled(bytes.size());
    REQUIRE(reader.advance() == RequestState::kHeadWhole);
    return reader.keep_alive();
  };
  CHECK(kept("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  CHECK_FALSE(kept("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
  CHECK_FALSE(kept("GET / HTTP/1.1\r\nHost: h\r\nConnection: foo , CLOSE\r\n\r\n"));
  CHECK_FALSE(kept("GET / HTTP/1.0\r\n\r\n"));
  CHECK(kept("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
}

TEST_CASE("the absolute form of a target is its path", "[request_reader]") {
  CHECK(read_request("GET http://node:1323/status?x HTTP/1.1\r\nHost: h\r\n\r\n").requests.at(0).path ==
        "/status");
  CHECK(read_request("GET http://node HTTP/1.1\r\nHost: h\r\n\r\n").requests.at(0).path == "/");
  CHECK(read_request("GET http://node?a HTTP/1.1\r\nHost: h\r\n\r\n").requests.at(0).query == "a");
}

}  // namespace serverledge
