#include "serverledge/core/function.hpp"

#include <catch2/catch.hpp>
#include <string>

namespace serverledge {
namespace {

// As the Go implementation stores it.
constexpr std::string_view kGoRecord =
    R"({"Name":"func","Runtime":"python314","MemoryMB":600,"CPUDemand":0,"MaxConcurrency":1,"Handler":"hello.handler",)"
    R"("TarFunctionCode":"aGVsbG8=","CustomImage":"","SupportedArchs":["amd64","arm64"],)"
    R"("Signature":{"Inputs":[],"Outputs":[]}})";

// As its CLI sends it to /create.
constexpr std::string_view kCliRecord =
    R"({"Name":"func","Runtime":"python314","MemoryMB":128,"CPUDemand":0,"MaxConcurrency":1,"Handler":"hello.handler",)"
    R"("TarFunctionCode":"aGVsbG8=","CustomImage":"","SupportedArchs":null,)"
    R"("Signature":{"Inputs":[{"Name":"n","Type":"Int"}],"Outputs":[{"Name":"r","Type":"ArrayInt"}]}})";

// As its CLI sends it to /delete.
constexpr std::string_view kEmptyRecord =
    R"({"Name":"func","Runtime":"","MemoryMB":0,"CPUDemand":0,"MaxConcurrency":0,"Handler":"","TarFunctionCode":"",)"
    R"("CustomImage":"","SupportedArchs":null,"Signature":null})";

StoredFunction read(std::string_view json) {
  Result<StoredFunction> stored = function_from_json(json);
  if (!stored) FAIL(stored.error().message);
  return std::move(*stored);
}

std::string why_no_function(std::string_view json) {
  const Result<StoredFunction> stored = function_from_json(json);
  REQUIRE_FALSE(stored.has_value());
  CHECK(stored.error().code == ErrorCode::kInvalid);
  return stored.error().message;
}

}  // namespace

TEST_CASE("a record of the Go implementation is read and written byte for byte", "[function]") {
  const StoredFunction stored = read(kGoRecord);
  CHECK(stored.function.name == "func");
  CHECK(stored.function.runtime == "python314");
  CHECK(stored.function.memory_mb == 600);
  CHECK(stored.function.cpu_demand == 0);
  CHECK(stored.function.max_concurrency == 1);
  CHECK(stored.function.handler == "hello.handler");
  CHECK(stored.function.supported_archs == std::vector<std::string>{"amd64", "arm64"});
  CHECK(stored.function.signature == Signature{});
  CHECK_FALSE(stored.function.timeout_sec);
  CHECK(stored.code_base64 == "aGVsbG8=");
  CHECK(to_json(stored.function, stored.code_base64) == kGoRecord);
}

TEST_CASE("a record with a signature keeps it", "[function]") {
  const StoredFunction stored = read(kCliRecord);
  REQUIRE(stored.function.signature);
  CHECK(stored.function.signature->inputs == std::vector<Parameter>{{"n", "Int"}});
  CHECK(stored.function.signature->outputs == std::vector<Parameter>{{"r", "ArrayInt"}});
  CHECK(to_json(stored.function, stored.code_base64) == kCliRecord);
}

TEST_CASE("absent, null and zero members mean the defaults", "[function]") {
  const StoredFunction empty = read(kEmptyRecord);
  CHECK(empty.function.max_concurrency == 1);
  CHECK_FALSE(empty.function.signature);
  CHECK(empty.function.supported_archs.empty());
  CHECK(read(R"({"Name":"func"})").function == empty.function);
  CHECK(read(R"({"Name":"func","MemoryMB":null,"MaxConcurrency":null,"Handler":null,"TimeoutSec":null})")
            .function == empty.function);
}

TEST_CASE("our own members are written only when they are set, and read back", "[function]") {
  Function function;
  function.name = "f";
  function.runtime = "nodejs17ng";
  function.memory_mb = 64;
  function.cpu_demand = 0.25;
  function.max_concurrency = 8;
  CHECK(
      to_json(function, "") ==
      R"({"Name":"f","Runtime":"nodejs17ng","MemoryMB":64,"CPUDemand":0.25,"MaxConcurrency":8,"Handler":"",)"
      R"("TarFunctionCode":"","CustomImage":"","SupportedArchs":null,"Signature":null})");
  function.timeout_sec = 2.5;
  function.code_digest = "ab12";
  function.code_size = 5'000'000'000;
  const std::string json = to_json(function, "");
  CHECK(json.ends_with(R"("Signature":null,"TimeoutSec":2.5,"CodeDigest":"ab12","CodeSize":5000000000})"));
  CHECK(read(json).function == function);
}

TEST_CASE("members are read in any case, and unknown ones ignored", "[function]") {
  const StoredFunction stored = read(
      R"({"name":"f","RUNTIME":"go125","memorymb":5,"cpudemand":1.5,"Extra":{"a":[1]},"signature":{"inputs":[{"name":"a","TYPE":"Int"}]}})");
  CHECK(stored.function.name == "f");
  CHECK(stored.function.runtime == "go125");
  CHECK(stored.function.memory_mb == 5);
  CHECK(stored.function.cpu_demand == 1.5);
  CHECK(stored.function.signature->inputs == std::vector<Parameter>{{"a", "Int"}});
}

TEST_CASE("aliases are read as the canonical runtime, unknown ones as they are", "[function]") {
  CHECK(read(R"({"Name":"f","Runtime":"python310"})").function.runtime == "python314");
  CHECK(read(R"({"Name":"f","Runtime":"nodejs"})").function.runtime == "nodejs17ng");
  CHECK(read(R"({"Name":"f","Runtime":"java21"})").function.runtime == "java21");
}

TEST_CASE("a wrong member is named with what is expected", "[function]") {
  CHECK(why_no_function("[]") == "a function record must be an object, not an array");
  CHECK(why_no_function("{}") == "Name: expected the name of the function");
  CHECK(why_no_function(R"({"Name":1})") == "Name: expected a string");
  CHECK(why_no_function(R"({"Name":"f","MemoryMB":64.0})") ==
        "MemoryMB: expected an integer from 0 to 9223372036854775807");
  CHECK(why_no_function(R"({"Name":"f","MemoryMB":-1})") ==
        "MemoryMB: expected an integer from 0 to 9223372036854775807");
  CHECK(why_no_function(R"({"Name":"f","MaxConcurrency":40000})") ==
        "MaxConcurrency: expected an integer from 0 to 32767");
  CHECK(why_no_function(R"({"Name":"f","CPUDemand":"1"})") == "CPUDemand: expected a number");
  CHECK(why_no_function(R"({"Name":"f","SupportedArchs":["amd64",1]})") ==
        "SupportedArchs: expected an array of strings");
  CHECK(why_no_function(R"({"Name":"f","SupportedArchs":"amd64"})") ==
        "SupportedArchs: expected an array of strings");
  CHECK(why_no_function(R"({"Name":"f","Signature":[]})") == "Signature: expected an object");
  CHECK(why_no_function(R"({"Name":"f","Signature":{"Outputs":[{"Name":1}]}})") ==
        "Signature: expected an object; Signature.Outputs: expected an array of objects with the strings "
        "Name and Type");
  CHECK(why_no_function(R"({"Name":"f")") == "not valid JSON at byte 11: the text ends too early");
}

TEST_CASE("runtimes have their canonical names", "[function]") {
  for (const char* name : {"python314", "python312ml", "nodejs17ng", "go125", "custom"}) {
    CHECK(canonical_runtime(name) == name);
  }
  CHECK(canonical_runtime("python310") == "python314");
  CHECK(canonical_runtime("python3") == "python314");
  CHECK(canonical_runtime("nodejs17") == "nodejs17ng");
  CHECK(canonical_runtime("nodejs") == "nodejs17ng");
  for (const char* name : {"", "python", "python38", "Python314", "java21"})
    CHECK_FALSE(canonical_runtime(name));
  for (const std::string_view name : runtime_names()) CHECK(canonical_runtime(name));
  CHECK(runtime_names().size() == 9);
}

TEST_CASE("function names are those of the contract", "[function]") {
  for (const char* name : {"f", "0", "hello-World_1.2", "A"}) CHECK(is_function_name(name));
  CHECK(is_function_name(std::string(63, 'a')));
  CHECK_FALSE(is_function_name(std::string(64, 'a')));
  for (const char* name : {"", ".", "..", "-a", "_a", "a/b", "a b", "a\n", "é", "a%2f"})
    CHECK_FALSE(is_function_name(name));
  CHECK_FALSE(is_function_name(std::string_view("a\0b", 3)));
}

TEST_CASE("signature types are those of the contract", "[function]") {
  for (const char* type : {"Int", "Float", "Text", "Bool", "ArrayInt", "ArrayFloat", "ArrayBool", "ArrayText",
                           "ArrayArrayInt", "ArrayArrayFloat", "Void"}) {
    CHECK(is_signature_type(type));
  }
  for (const char* type : {"", "int", "ArrayArrayText", "Array"}) CHECK_FALSE(is_signature_type(type));
}

}  // namespace serverledge
