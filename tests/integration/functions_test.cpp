// The functions of examples/functions, registered and called by the command line on a real node.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "integration/command_line.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge::test {
namespace {

// Registers <name>.py as <name>, and <name>.js as <name>-js.
void register_both(const NodeProcess& node, const std::string& name) {
  const auto python = cli(
      node, {"create", "-f", name, "--src", kExamples + "/" + name + ".py", "--handler", name + ".handler"});
  INFO(python.err);
  REQUIRE(python.exit_code == 0);
  const auto javascript = cli(node, {"create", "-f", name + "-js", "--src", kExamples + "/" + name + ".js",
                                     "--handler", name, "--runtime", "nodejs17ng"});
  INFO(javascript.err);
  REQUIRE(javascript.exit_code == 0);
}

// The result alone, as `invoke --raw` prints it.
std::string result(const NodeProcess& node, const std::string& function, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"invoke", "-f", function, "--raw"});
  const auto run = cli(node, arguments);
  INFO(run.err);
  CHECK(run.exit_code == 0);
  return run.out;
}

}  // namespace

TEST_CASE("hello greets, shows its parameters and prints a line", "[integration]") {
  const NodeProcess node;
  register_both(node, "hello");
  for (const auto& [function, params] :
       {std::pair{"hello", "{'a': '2'}"}, std::pair{"hello-js", R"({"a":"2"})"}}) {
    const auto run = cli(node, {"invoke", "-f", function, "-p", "a:2", "--return_output"});
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    const auto answer = JsonDocument::parse(run.out);
    REQUIRE(answer);
    CHECK(answer->root().find("Success")->as_bool() == true);
    const std::string text(answer->root().find("Result")->as_string().value());
    CHECK(JsonDocument::parse(text)->root().as_string() ==
          std::string("Hello, Serverledge!\nParams: ") + params);
    CHECK(answer->root().find("Output")->as_string() == "Executing function....\n");
  }
}

TEST_CASE("the examples compute what they say, in both languages", "[integration]") {
  const NodeProcess node;
  for (const char* name : {"inc", "isprime", "sieve", "fibonacci"}) register_both(node, name);
  for (const std::string ending : {"", "-js"}) {
    CAPTURE(ending);
    CHECK(result(node, "inc" + ending, {"-p", "n:41"}) == "{\"result\":42}\n");
    CHECK(result(node, "isprime" + ending, {"-p", "n:65537"}) == "{\"n\":65537,\"prime\":true}\n");
    CHECK(result(node, "isprime" + ending, {"-p", "n:65535"}) == "{\"n\":65535,\"prime\":false}\n");
    CHECK(result(node, "isprime" + ending, {"-p", "n:1"}) == "{\"n\":1,\"prime\":false}\n");
    CHECK(result(node, "sieve" + ending, {"-p", "n:30"}) ==
          "{\"count\":10,\"primes\":[2,3,5,7,11,13,17,19,23,29]}\n");
    CHECK(result(node, "fibonacci" + ending, {"-p", "n:50"}) == "{\"result\":12586269025}\n");
  }
  CHECK(result(node, "fibonacci", {"-p", "n:90"}) == "{\"result\":2880067194370816120}\n");
  CHECK(result(node, "fibonacci-js", {"-p", "n:90"}) == "{\"result\":\"2880067194370816120\"}\n");
}

TEST_CASE("the command line leads through the life of a function", "[integration]") {
  const NodeProcess node;
  register_both(node, "inc");
  CHECK(cli(node, {"list"}).out == "[\n\t\"inc\",\n\t\"inc-js\"\n]\n");
  const std::vector<std::string> again = {"create",    "-f",         "inc", "--src", kExamples + "/inc.py",
                                          "--handler", "inc.handler"};
  CHECK(cli(node, again).exit_code == 2);
  auto update = again;
  update.insert(update.end(), {"--update", "-i", "n:Int", "-o", "result:Int"});
  CHECK(cli(node, update).exit_code == 0);
  CHECK(cli(node, {"prewarm", "-f", "inc"}).out == "{\n\t\"Prewarmed\": 1\n}\n");
  CHECK_THAT(cli(node, {"status"}).out, Catch::Contains("\t\t\"inc\": 1"));

  const auto failed = cli(node, {"invoke", "-f", "inc"});
  CHECK(failed.exit_code == 2);
  CHECK_THAT(failed.err, Catch::Contains("the function failed (raised): KeyError: 'n'"));

  const auto started = cli(node, {"invoke", "-f", "inc-js", "-p", "n:1", "--async"});
  REQUIRE(started.exit_code == 0);
  const auto request = JsonDocument::parse(started.out);
  REQUIRE(request);
  const std::string id(request->root().find("ReqId")->as_string().value());
  const auto polled = cli(node, {"poll", "--request", id, "--wait", "30"});
  INFO(polled.err);
  CHECK(polled.exit_code == 0);
  CHECK_THAT(polled.out, Catch::Contains(R"("Result": "{\"result\":2}")"));
  CHECK(cli(node, {"poll", "--request", "inc-0"}).exit_code == 2);

  CHECK(cli(node, {"delete", "-f", "inc"}).exit_code == 0);
  CHECK(cli(node, {"invoke", "-f", "inc", "-p", "n:1"}).exit_code == 2);
  CHECK(cli(node, {"list"}).out == "[\n\t\"inc-js\"\n]\n");
}

}  // namespace serverledge::test
