#include "api/function_request.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "api/archive_double.hpp"
#include "serverledge/net/base64.hpp"
#include "support/scripted_runtime.hpp"

namespace serverledge {
namespace {

struct Fixture {
  testing::ScriptedRuntime runtime;
  test::ArchiveDouble archive;
  std::vector<std::string> fetched;
  Result<std::string> remote = std::string("code from afar");
  FunctionRequirements requirements{runtime, archive, Resources{1024, 4000}, [this](const std::string& url) {
                                      fetched.push_back(url);
                                      return remote;
                                    }};

  std::pair<Result<Function>, Result<std::string>> store(const std::string& body) {
    RequestFields fields(body);
    Result<Function> function = read_function(fields, requirements);
    if (!function) return {function, std::string()};
    Result<std::string> code = read_code(fields, *function, requirements);
    return {std::move(function), std::move(code)};
  }

  Error refusal(const std::string& body) {
    const auto [function, code] = store(body);
    REQUIRE((!function || !code));
    return function ? code.error() : function.error();
  }

  /// A good body, but for one member.
  static std::string body(const std::string& key, const std::string& value) {
    std::string out =
        R"({"Name":"f","Runtime":"python314","MemoryMB":128,"Handler":"f.handler","TarFunctionCode":")" +
        base64_encode("code") + "\"";
    return out + ",\"" + key + "\":" + value + "}";
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "what the command line sends to create a function is stored field by field",
                 "[create]") {
  const auto [function, code] = store(
      R"({"Name":"func","Runtime":"python310","MemoryMB":600,"CPUDemand":0.5,"MaxConcurrency":3,"Handler":"hello.handler","TarFunctionCode":")" +
      base64_encode("the code") +
      R"(","CustomImage":"","SupportedArchs":null,"TimeoutSec":2.5,"Signature":{"Inputs":[{"Name":"n","Type":"Int"}],"Outputs":[{"Name":"r","Type":"ArrayInt"}]}})");
  REQUIRE(function);
  REQUIRE(code);
  CHECK(*code == "the code");
  Function expected;
  expected.name = "func";
  expected.runtime = "python314";
  expected.memory_mb = 600;
  expected.cpu_demand = 0.5;
  expected.max_concurrency = 3;
  expected.handler = "hello.handler";
  expected.supported_archs = {"amd64", "arm64"};
  expected.signature = Signature{{{"n", "Int"}}, {{"r", "ArrayInt"}}};
  expected.timeout_sec = 2.5;
  expected.code_digest = "digest of the code";
  expected.code_size = 8;
  CHECK(*function == expected);
}

TEST_CASE_METHOD(Fixture, "MaxConcurrency is 1 when 0, absent or null", "[create]") {
  for (const char* value : {"0", "null", "1"})
    CHECK(store(body("MaxConcurrency", value)).first->max_concurrency == 1);
  CHECK(store(body("MaxConcurrency", "32767")).first->max_concurrency == 32767);
}

TEST_CASE_METHOD(Fixture, "a field that does not fit is named with what is expected", "[create]") {
  const auto message = [this](const std::string& key, const std::string& value) {
    const Error error = refusal(body(key, value));
    CHECK(error.code == ErrorCode::kInvalid);
    return error.message;
  };
  for (const char* name : {"\"\"", "\"-x\"", "\"a b\"", "\"../x\"", "null"}) {
    CHECK_THAT(message("Name", name), Catch::StartsWith("Name: expected 1 to 63 letters"));
  }
  CHECK_THAT(message("Name", '"' + std::string(64, 'a') + '"'), Catch::StartsWith("Name: "));
  CHECK(message("Name", "7") == "Name: expected a string, got a number");
  CHECK(message("MemoryMB", "\"128\"") == "MemoryMB: expected an integer, got a string");
  CHECK_THAT(message("MemoryMB", "64.5"), Catch::StartsWith("MemoryMB: expected an integer from"));
  CHECK_THAT(message("MemoryMB", "1e30"), Catch::StartsWith("MemoryMB: expected an integer from"));
  CHECK_THAT(message("CPUDemand", "-1"), Catch::StartsWith("CPUDemand: "));
  CHECK(message("CPUDemand", "\"1\"") == "CPUDemand: expected a number, got a string");
  CHECK(message("MaxConcurrency", "-1") == "MaxConcurrency: expected an integer from 0 to 32767, got -1");
  CHECK(message("MaxConcurrency", "32768") ==
        "MaxConcurrency: expected an integer from 0 to 32767, got 32768");
  CHECK(message("TimeoutSec", "0") == "TimeoutSec: expected more than 0 seconds");
  CHECK(message("TimeoutSec", "-3") == "TimeoutSec: expected more than 0 seconds");
  CHECK_THAT(message("Handler", "\"\""), Catch::StartsWith("Handler: expected"));
  CHECK_THAT(message("TarFunctionCode", "\"\""), Catch::StartsWith("TarFunctionCode: expected base64"));
  CHECK_THAT(message("TarFunctionCode", "\"%%%\""), Catch::StartsWith("TarFunctionCode: "));
  CHECK(message("Signature", "[]") == "Signature: expected an object, got an array");
  CHECK(message("Signature", R"({"Inputs":{}})") == "Signature.Inputs: expected an array, got an object");
  CHECK(message("Signature", R"({"Inputs":[{"Name":"n"}]})") ==
        "Signature.Inputs[0]: expected an object with the strings Name and Type");
  CHECK_THAT(
      message("Signature", R"({"Outputs":[{"Name":"n","Type":"Int"},{"Name":"m","Type":"Integer"}]})"),
      Catch::StartsWith("Signature.Outputs[1].Type: expected Int") && Catch::EndsWith("got \"Integer\""));
}

TEST_CASE_METHOD(Fixture, "memory and cores that the node can never have are unprocessable", "[create]") {
  for (const char* memory : {"0", "-5", "null", "1025"}) {
    const Error error = refusal(body("MemoryMB", memory));
    CHECK(error.code == ErrorCode::kUnprocessable);
    CHECK_THAT(error.message, Catch::StartsWith("Invalid memory limit") && Catch::Contains("MemoryMB"));
  }
  CHECK(store(body("MemoryMB", "1024")).first);
  for (const char* cores : {"4.1", "1e300"}) {
    const Error error = refusal(body("CPUDemand", cores));
    CHECK(error.code == ErrorCode::kUnprocessable);
    CHECK_THAT(error.message, Catch::StartsWith("CPUDemand: "));
  }
  CHECK(store(body("CPUDemand", "4")).first);
}

TEST_CASE_METHOD(Fixture, "a runtime that is not served here is refused, naming those that are", "[create]") {
  for (const char* name : {"\"python38\"", "\"go125\"", "\"\"", "null", "\"custom\""}) {
    const Error error = refusal(body("Runtime", name));
    CHECK(error.code == ErrorCode::kNotFound);
    CHECK_THAT(error.message, Catch::StartsWith("Invalid runtime.") && Catch::Contains("python314") &&
                                  Catch::Contains("nodejs17ng") && !Catch::Contains("python312ml"));
  }
}

TEST_CASE_METHOD(Fixture, "an alias of a runtime is stored by its canonical name", "[create]") {
  CHECK(store(body("Runtime", "\"python3\"")).first->runtime == "python314");
  CHECK(store(body("Runtime", "\"nodejs\"")).first->runtime == "nodejs17ng");
}

TEST_CASE_METHOD(Fixture, "code that the archive refuses is not stored", "[create]") {
  CHECK(refusal(body("TarFunctionCode", '"' + base64_encode("garbage") + '"')).message ==
        "Handler: no module for f.handler");
}

TEST_CASE_METHOD(Fixture, "code that is a URL is fetched once, and the fetched code is stored", "[create]") {
  const auto [function, code] =
      store(body("TarFunctionCode", '"' + base64_encode("https://example.org/f.tar\n") + '"'));
  REQUIRE(code);
  CHECK(*code == "code from afar");
  CHECK(function->code_digest == "digest of code from afar");
  CHECK(fetched == std::vector<std::string>{"https://example.org/f.tar"});
}

TEST_CASE_METHOD(Fixture, "a URL that cannot be fetched is the caller's error, and names the field",
                 "[create]") {
  remote = Unexpected(ErrorCode::kUnavailable, "connection refused");
  const Error error = refusal(body("TarFunctionCode", '"' + base64_encode("http://localhost:1/f.tar") + '"'));
  CHECK(error.code == ErrorCode::kInvalid);
  CHECK(error.message == "TarFunctionCode: connection refused");
  remote = Unexpected(ErrorCode::kTooLarge, "too large");
  CHECK(refusal(body("TarFunctionCode", '"' + base64_encode("http://localhost:1/f.tar") + '"')).code ==
        ErrorCode::kTooLarge);
}

TEST_CASE_METHOD(Fixture, "code that only mentions a URL is code", "[create]") {
  for (const char* source :
       {"# see https://example.org\ndef handler(params, context): pass\n", "://", "x = 'http://a'"}) {
    CHECK(*store(body("TarFunctionCode", '"' + base64_encode(source) + '"')).second == source);
  }
  CHECK(fetched.empty());
}

}  // namespace serverledge
