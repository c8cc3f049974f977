#include <catch2/catch.hpp>

#include "recording_node.hpp"

namespace serverledge::test {
namespace {

HttpResponse pending() {
  auto response = HttpResponse::text(404, "pending");
  response.headers.set("Retry-After", "1");
  return response;
}

}  // namespace

TEST_CASE("poll tells a request that has not finished from one that is unknown", "[cli]") {
  {
    RecordingNode node;
    node.answer(pending());
    const auto run = node.cli({"poll", "--request", "func-1"});
    CHECK(run.exit_code == 2);
    CHECK(run.err == "serverledge-cli: request func-1 has not finished; --wait SECONDS waits for it\n");
  }
  RecordingNode node;
  node.answer(HttpResponse::text(404, "unknown request"));
  const auto run = node.cli({"poll", "--request", "func-1", "--wait", "60"});
  CHECK(run.exit_code == 2);
  CHECK(run.err == "serverledge-cli: the node answered 404: unknown request\n");
  CHECK(node.exchanges().size() == 1);  // waiting would not help
}

TEST_CASE("poll --wait asks until the request has finished", "[cli]") {
  RecordingNode node;
  node.answer(pending());
  node.answer(HttpResponse::text(404, ""));  // as a node of the Go implementation says it
  node.answer(HttpResponse::json(200, R"({"Success":true})"));
  const auto run = node.cli({"poll", "--request", "func-1", "--wait", "60"});
  CHECK(run.exit_code == 0);
  CHECK(run.out == "{\n\t\"Success\": true\n}\n");
  CHECK(node.exchanges().size() == 3);
}

TEST_CASE("poll --wait ends when its time is over", "[cli]") {
  RecordingNode node;
  node.answer(pending());
  const auto run = node.cli({"poll", "--request", "func-1", "--wait", "0.05"});
  CHECK(run.exit_code == 2);
  CHECK_THAT(run.err, Catch::Contains("has not finished"));
}

TEST_CASE("poll exits with 2 when the polled call failed", "[cli]") {
  RecordingNode node;
  node.answer(
      HttpResponse::json(500, R"({"Success":false,"Error":{"Kind":"memory","Message":"out of memory"}})"));
  const auto run = node.cli({"poll", "--request", "func-1", "--wait", "60"});
  CHECK(run.exit_code == 2);
  CHECK_THAT(run.out, Catch::Contains("\"Success\": false"));
  CHECK_THAT(run.err, Catch::Contains("the function failed (memory): out of memory"));
}

}  // namespace serverledge::test
