#include "response_reader.hpp"

#include <catch2/catch.hpp>

namespace serverledge::bench {
namespace {

using State = ResponseReader::State;

// Takes the answer byte by byte; all but the last must leave it unfinished.
void take_slowly(ResponseReader& reader, std::string_view answer) {
  for (std::size_t i = 0; i + 1 < answer.size(); ++i)
    REQUIRE(reader.take(answer.substr(i, 1)) == State::kMore);
  REQUIRE(reader.take(answer.substr(answer.size() - 1)) == State::kDone);
}

}  // namespace

TEST_CASE("an answer with a length is whole with its last byte", "[bench]") {
  ResponseReader reader;
  reader.begin();
  take_slowly(reader, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-length:  5\r\n\r\nhello");
  CHECK(reader.status() == 200);
  CHECK(reader.body() == "hello");
  CHECK_FALSE(reader.closes());
  reader.begin();
  take_slowly(reader, "HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
  CHECK(reader.status() == 404);
  CHECK(reader.body() == "x");
  CHECK(reader.closes());
}

TEST_CASE("a chunked answer is whole with its last chunk", "[bench]") {
  ResponseReader reader;
  reader.begin();
  take_slowly(
      reader,
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n");
  CHECK_THAT(std::string(reader.body()), Catch::Contains("hello") && Catch::Contains("0123456789"));
  CHECK_FALSE(reader.closes());
}

TEST_CASE("an answer without a length ends with the connection", "[bench]") {
  ResponseReader reader;
  reader.begin();
  CHECK(reader.take("HTTP/1.0 200 OK\r\n\r\nall of it") == State::kMore);
  CHECK(reader.end() == State::kDone);
  CHECK(reader.body() == "all of it");
  CHECK(reader.closes());
}

TEST_CASE("bytes that come too early belong to the next answer", "[bench]") {
  ResponseReader reader;
  reader.begin();
  CHECK(reader.take("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Le") == State::kDone);
  CHECK(reader.status() == 204);
  reader.begin();
  CHECK(reader.take("ngth: 2\r\n\r\nok") == State::kDone);
  CHECK(reader.body() == "ok");
}

TEST_CASE("an answer that is cut short or makes no sense is malformed", "[bench]") {
  const auto after = [](std::string_view bytes) {
    ResponseReader reader;
    reader.begin();
    const auto state = reader.take(bytes);
    return state == State::kMore ? reader.end() : state;
  };
  CHECK(after("") == State::kMalformed);
  CHECK(after("HTTP/1.1 200 OK\r\nContent-Le") == State::kMalformed);
  CHECK(after("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell") == State::kMalformed);
  CHECK(after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n") == State::kMalformed);
  CHECK(after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello\r\n") ==
        State::kMalformed);
  CHECK(after("SSH-2.0-x\r\n\r\n") == State::kMalformed);
  CHECK(after("HTTP/1.1 abc\r\n\r\n") == State::kMalformed);
}

}  // namespace serverledge::bench
