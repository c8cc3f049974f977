// What the commands print.
#include <catch2/catch.hpp>

#include "recording_node.hpp"

namespace serverledge::test {
namespace {

constexpr const char* kAnswer =
    R"({"Success":true,"Result":"{\"n\":[1,2]}","ResponseTime":0.002,"IsWarmStart":true,"InitTime":0,"QueueingTime":0,)"
    R"("OffloadLatency":0,"Duration":0.001,"Output":"said\n","ExecutionArea":"ROME","ExecutionNode":"n1"})"
    "\n";

constexpr const char* kFailure =
    R"({"Success":false,"Result":"","ResponseTime":0.002,"IsWarmStart":true,"InitTime":0,"QueueingTime":0,)"
    R"("OffloadLatency":0,"Duration":0.001,"Output":"said\n","ExecutionArea":"ROME","ExecutionNode":"n1",)"
    R"("Error":{"Kind":"raised","Message":"KeyError: 'n'","Traceback":"Traceback:\n  line 1\nKeyError: 'n'\n"}})"
    "\n";

CommandRun run(HttpResponse response, const std::vector<std::string>& arguments) {
  RecordingNode node;
  node.answer(std::move(response));
  return node.cli(arguments);
}

}  // namespace

TEST_CASE("answers are printed as JSON indented by tabs, values unchanged", "[cli]") {
  CHECK(run(HttpResponse::json(200, "[\"a\",\"b\"]\n"), {"list"}).out == "[\n\t\"a\",\n\t\"b\"\n]\n");
  CHECK(run(HttpResponse::json(200, "[]\n"), {"list"}).out == "[]\n");
  const auto status =
      run(HttpResponse::json(200, R"({"A":{"f, {1}":1.50,"e\"":-1e3},"V":[0, null],"E":{} })"), {"status"});
  CHECK(status.out ==
        "{\n\t\"A\": {\n\t\t\"f, {1}\": 1.50,\n\t\t\"e\\\"\": -1e3\n\t},\n\t\"V\": "
        "[\n\t\t0,\n\t\tnull\n\t],\n\t\"E\": {}\n}\n");
  CHECK(status.err.empty());
}

TEST_CASE("a plain text answer is printed as it is", "[cli]") {
  const auto answered = run(HttpResponse::text(200, "fine\n"), {"status"});
  CHECK(answered.exit_code == 0);
  CHECK(answered.out == "fine\n");
}

TEST_CASE("invoke --raw prints the result alone, and the output on stderr", "[cli]") {
  const auto answered = run(HttpResponse::json(200, kAnswer), {"invoke", "-f", "func", "--raw", "-o"});
  CHECK(answered.exit_code == 0);
  CHECK(answered.out == "{\"n\":[1,2]}\n");
  CHECK(answered.err == "said\n");
}

TEST_CASE("a failed execution exits with 2 and shows its traceback", "[cli]") {
  const auto whole = run(HttpResponse::json(500, kFailure), {"invoke", "-f", "func"});
  CHECK(whole.exit_code == 2);
  CHECK_THAT(whole.out, Catch::Contains("\t\"Success\": false,") && Catch::Contains("\"Kind\": \"raised\""));
  CHECK_THAT(whole.err,
             Catch::Contains("the node answered 500: the function failed (raised): KeyError: 'n'\n") &&
                 Catch::Contains("\n  line 1\n"));
  const auto raw = run(HttpResponse::json(500, kFailure), {"invoke", "-f", "func", "--raw"});
  CHECK(raw.exit_code == 2);
  CHECK(raw.out.empty());
  CHECK_THAT(raw.err, Catch::Contains("said\n") && Catch::Contains("KeyError: 'n'"));
}

TEST_CASE("refusals in any of the forms of the contract become a sentence", "[cli]") {
  const auto said = [](HttpResponse response) {
    const auto refused = run(std::move(response), {"delete", "-f", "func"});
    CHECK(refused.exit_code == 2);
    CHECK(refused.out.empty());
    return refused.err;
  };
  CHECK(said(HttpResponse::text(404, "Unknown function")) ==
        "serverledge-cli: the node answered 404: Unknown function\n");
  CHECK(said(HttpResponse::json(500, R"({"message":"Internal Server Error"})")) ==
        "serverledge-cli: the node answered 500: Internal Server Error\n");
  CHECK(said(HttpResponse::json(400, R"("not \"good\"")")) ==
        "serverledge-cli: the node answered 400: not \"good\"\n");
  CHECK(said(HttpResponse::json(503, "\"\"\n")) ==
        "serverledge-cli: the node answered 503: the node's registry or the node itself is not available\n");
  auto overload = HttpResponse::json(429, R"({"Error":"no memory"})");
  overload.headers.set("Retry-After", "2");
  CHECK(said(overload) == "serverledge-cli: the node answered 429: no memory (try again in 2 s)\n");
}

TEST_CASE("create of a function that exists tells of --update", "[cli]") {
  const auto refused = run(HttpResponse::text(409, ""),
                           {"create", "-f", "own", "--runtime", "custom", "--custom_image", "example/own"});
  CHECK(refused.exit_code == 2);
  CHECK(refused.err == "serverledge-cli: function 'own' exists already; --update replaces it\n");
}

TEST_CASE("a warning of the node is passed on", "[cli]") {
  auto response = HttpResponse::json(200, R"({"Created":"func"})");
  response.headers.set("Warning", "199 - \"too large for this node\"");
  const auto created =
      run(response, {"create", "-f", "own", "--runtime", "custom", "--custom_image", "example/own"});
  CHECK(created.exit_code == 0);
  CHECK(created.out == "{\n\t\"Created\": \"func\"\n}\n");
  CHECK_THAT(created.err, Catch::Contains("warning: ") && Catch::Contains("too large for this node"));
}

TEST_CASE("the option --verbose tells of the exchange on stderr, and never of a parameter", "[cli]") {
  RecordingNode node;
  node.answer(HttpResponse::json(200, kAnswer));
  const auto told = node.cli({"-v", "invoke", "-f", "func", "-p", "password:hush"});
  CHECK(told.exit_code == 0);
  CHECK_THAT(told.err,
             Catch::Contains("POST http://127.0.0.1:" + std::to_string(node.port()) + "/invoke/func (") &&
                 Catch::Contains(": 200 (") && Catch::Contains(" ms\n"));
  CHECK_THAT(told.err, !Catch::Contains("hush"));
}

}  // namespace serverledge::test
