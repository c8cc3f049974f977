#include "net/response_reader.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <string_view>

namespace serverledge {
namespace {

using ResponseState = ResponseReader::State;

struct ResponseReading {
  ResponseState state = ResponseState::kNeedsMore;
  HttpResponse response;
  ErrorCode error = ErrorCode::kInternal;
  bool keep_alive = false;
};

ResponseReading read_response_in_pieces(std::string_view bytes, std::size_t piece, bool to_head = false) {
  ResponseReader reader(to_head, 1000);
  ResponseReading reading;
  while (reading.state == ResponseState::kNeedsMore) {
    const auto space = reader.space();
    const std::size_t size = std::min({piece, space.size(), bytes.size()});
    std::memcpy(space.data(), bytes.data(), size);
    bytes.remove_prefix(size);
    reading.state = size == 0 ? reader.ended() : reader.filled(size);
  }
  reading.response = reader.response();
  reading.error = reader.error().code;
  reading.keep_alive = reader.keep_alive();
  return reading;
}

ResponseReading read_response(std::string_view bytes, bool to_head = false) {
  const ResponseReading bytewise = read_response_in_pieces(bytes, 1, to_head);
  ResponseReading whole = read_response_in_pieces(bytes, bytes.size(), to_head);
  CHECK(whole.state == bytewise.state);
  if (whole.state == ResponseState::kWhole) CHECK(whole.response.body == bytewise.response.body);
  return whole;
}

}  // namespace

TEST_CASE("answers are read however they are delimited", "[response_reader]") {
  const ResponseReading counted =
      read_response("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nX: y\r\nContent-Length: 5\r\n\r\nhello");
  REQUIRE(counted.state == ResponseState::kWhole);
  CHECK(counted.response.status == 200);
  CHECK(counted.response.content_type == "a/b");
  CHECK(counted.response.headers.find("Content-Type") == nullptr);
  CHECK(*counted.response.headers.find("x") == "y");
  CHECK(counted.response.body == "hello");
  CHECK(counted.keep_alive);

  const ResponseReading chunked =
      read_response("HTTP/1.1 500 \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  REQUIRE(chunked.state == ResponseState::kWhole);
  CHECK(chunked.response.status == 500);
  CHECK(chunked.response.body == "abcde");
  CHECK(chunked.keep_alive);

  const ResponseReading to_end =
      read_response("HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.6 Python/3.11.2\r\n\r\n{\"Success\": false}");
  REQUIRE(to_end.state == ResponseState::kWhole);
  CHECK(to_end.response.body == "{\"Success\": false}");
  CHECK_FALSE(to_end.keep_alive);

  CHECK(read_response("HTTP/1.1 204 No Content\r\n\r\n").state == ResponseState::kWhole);
  CHECK(read_response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true).state == ResponseState::kWhole);
  CHECK(read_response("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n").state == ResponseState::kWhole);
}

TEST_CASE("interim answers are skipped", "[response_reader]") {
  const std::string interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
  const ResponseReading reading = read_response(interim + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  REQUIRE(reading.state == ResponseState::kWhole);
  CHECK(reading.response.body == "ok");
  CHECK(reading.response.headers.find("Link") == nullptr);
  CHECK(read_response("HTTP/1.1 101 Switching Protocols\r\n\r\n").state == ResponseState::kFailed);
}

TEST_CASE("an answer that is cut off or malformed is no answer", "[response_reader]") {
  for (const char* bytes : {
           "",
           "HTTP/1.1 200 OK\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
           "HTTP/1.1 2x0 OK\r\n\r\n",
           "HTTP/1.1 2000 OK\r\n\r\n",
           "HTTP/2 200 OK\r\n\r\n",
           "SSH-2.0-OpenSSH_9.2p1\r\n\r\n",
       }) {
    INFO(bytes);
    const ResponseReading reading = read_response(bytes);
    CHECK(reading.state == ResponseState::kFailed);
    CHECK(reading.error == ErrorCode::kUnknownOutcome);
  }
}

TEST_CASE("an answer over the limit is refused however it is delimited", "[response_reader]") {
  const std::string large(1001, 'x');
  for (const std::string& bytes :
       {"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + large, "HTTP/1.0 200 OK\r\n\r\n" + large,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + large}) {
    CHECK(read_response(bytes).error == ErrorCode::kTooLarge);
  }
}

TEST_CASE("a connection that brings more than the answer is not kept", "[response_reader]") {
  const ResponseReading reading =
      read_response_in_pieces("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n", 100);
  REQUIRE(reading.state == ResponseState::kWhole);
  CHECK(reading.response.body == "ok");
  CHECK_FALSE(reading.keep_alive);
}

}  // namespace serverledge
