#include "api/invocation_request.hpp"

#include <catch2/catch.hpp>
#include <string>

namespace serverledge {
namespace {

Invocation read(const std::string& body) {
  Invocation invocation;
  const Result<void> read = read_invocation(body, invocation);
  if (!read) FAIL(read.error().message);
  return invocation;
}

std::string refusal(const std::string& body) {
  Invocation invocation;
  const Result<void> read = read_invocation(body, invocation);
  REQUIRE_FALSE(read);
  CHECK(read.error().code == ErrorCode::kInvalid);
  return read.error().message;
}

}  // namespace

TEST_CASE("what the command line sends is read as it is meant", "[invocation]") {
  const Invocation invocation = read(
      R"({"Params":{"a":"2","b":"3"},"QoSClass":1,"QoSMaxRespT":1.5,"CanDoOffloading":true,"Async":false,"ReturnOutput":true})");
  CHECK(invocation.params() == R"({"a":"2","b":"3"})");
  CHECK(invocation.qos_class == 1);
  CHECK(invocation.max_response_time == std::chrono::milliseconds(1500));
  CHECK(invocation.can_offload);
  CHECK_FALSE(invocation.asynchronous);
  CHECK(invocation.return_output);
}

TEST_CASE("every field of an invocation may be absent or null", "[invocation]") {
  const std::string body = GENERATE(
      "", "{}", " {} ",
      R"({"Params":null,"QoSClass":null,"QoSMaxRespT":null,"CanDoOffloading":null,"Async":null,"ReturnOutput":null})");
  const Invocation invocation = read(body);
  CHECK(invocation.params() == "{}");
  CHECK(invocation.qos_class == 0);
  CHECK(invocation.max_response_time == Duration::zero());
  CHECK(invocation.start_deadline() == TimePoint::max());
  CHECK(invocation.can_offload);
  CHECK_FALSE(invocation.asynchronous);
  CHECK_FALSE(invocation.return_output);
}

TEST_CASE("params keep their bytes, whatever they hold", "[invocation]") {
  const std::string params =
      "{ \"n\" : 123456789012345678901234567890.000 , \"s\":\"\\u00e9\\ud83d\\ude00 \xc3\xa9\", \"n\":1e400 "
      "}";
  CHECK(read(R"({"ReturnOutput":true,"Params":)" + params + R"(,"QoSClass":2})").params() == params);
}

TEST_CASE("params survive that the invocation is moved", "[invocation]") {
  Invocation invocation = read(R"({"Params":{}})");  // short enough to live inside the string object
  const Invocation moved = std::move(invocation);
  CHECK(moved.params() == "{}");
}

TEST_CASE("keys are read without regard to case, unknown ones ignored, of duplicates the last counts",
          "[invocation]") {
  const Invocation invocation = read(
      R"({"params":{"a":1},"qosCLASS":1,"Colour":"red","PARAMS":{"a":2},"QosClass":3,"returnoutput":true})");
  CHECK(invocation.params() == R"({"a":2})");
  CHECK(invocation.qos_class == 3);
  CHECK(invocation.return_output);
}

TEST_CASE("a field of the wrong type is refused by its name", "[invocation]") {
  CHECK(refusal(R"({"Params":[1]})") == "Params: expected an object, got an array");
  CHECK(refusal(R"({"Params":"x"})") == "Params: expected an object, got a string");
  CHECK(refusal(R"({"QoSClass":"1"})") == "QoSClass: expected an integer, got a string");
  CHECK(refusal(R"({"QoSClass":1.5})") ==
        "QoSClass: expected an integer from -2147483648 to 2147483647, got 1.5");
  CHECK(refusal(R"({"QoSClass":2147483648})") ==
        "QoSClass: expected an integer from -2147483648 to 2147483647, got 2147483648");
  CHECK(refusal(R"({"QoSMaxRespT":true})") == "QoSMaxRespT: expected a number, got a boolean");
  CHECK(refusal(R"({"QoSMaxRespT":1e999})") ==
        "QoSMaxRespT: expected a number that fits a double, got 1e999");
  CHECK(refusal(R"({"CanDoOffloading":1})") == "CanDoOffloading: expected true or false, got a number");
  CHECK(refusal(R"({"Async":"yes"})") == "Async: expected true or false, got a string");
  CHECK(refusal(R"({"ReturnOutput":{}})") == "ReturnOutput: expected true or false, got an object");
}

TEST_CASE("a body that is not one JSON object is refused", "[invocation]") {
  CHECK(refusal("[]") == "the body must be a JSON object, not an array");
  CHECK(refusal("null") == "the body must be a JSON object, not null");
  const std::string body =
      GENERATE(" ", "{", R"({"Params":{})", R"({"Params":{}}{})", "{} x", "{'a':1}", R"({"a":01})",
               R"({"Params":{"a":"\xff"}})", "{\"Params\":{\"a\":\"\xc3\x28\"}}", "<xml/>");
  CHECK_THAT(refusal(body), Catch::StartsWith("the body is not a JSON object: "));
}

TEST_CASE("nesting that is too deep is refused, also inside the params", "[invocation]") {
  const auto nested = [](std::size_t depth) {
    return R"({"Params":{"a":)" + std::string(depth, '[') + std::string(depth, ']') + "}}";
  };
  CHECK(read(nested(62)).params().size() == 124 + 6);
  CHECK_THAT(refusal(nested(63)), Catch::Contains("deep"));
  CHECK_THAT(refusal(nested(200000)), Catch::Contains("deep"));
}

TEST_CASE("a start deadline is counted from the arrival", "[invocation]") {
  Invocation invocation = read(R"({"QoSMaxRespT":0.25})");
  invocation.arrival = TimePoint(std::chrono::seconds(10));
  CHECK(invocation.start_deadline() == TimePoint(std::chrono::milliseconds(10250)));
  invocation = read(R"({"QoSMaxRespT":-1})");
  CHECK(invocation.start_deadline() == TimePoint::max());
}

}  // namespace serverledge
