#include <catch2/catch.hpp>
#include <map>

#include "call_request.hpp"
#include "command_line.hpp"
#include "settings.hpp"

using namespace serverledge;
using Catch::Contains;
using Words = std::vector<std::string>;

namespace {

Words words(std::string_view line) {
  const Result<Words> split = split_command_line(line);
  REQUIRE(split);
  return *split;
}

Result<ExecutorSettings> settings(const std::map<std::string, std::string>& variables) {
  return read_settings([&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

std::string complaint(const std::map<std::string, std::string>& variables) {
  const Result<ExecutorSettings> read = settings(variables);
  REQUIRE_FALSE(read);
  return read.error().message;
}

}  // namespace

TEST_CASE("a command line is split as a shell splits it", "[command]") {
  CHECK(words("").empty());
  CHECK(words(" \t\n").empty());
  CHECK(words("python3 /app/f.py") == Words{"python3", "/app/f.py"});
  CHECK(words("  a   b\t\tc \n") == Words{"a", "b", "c"});
  CHECK(words(R"(sh -c 'echo "$X"  y')") == Words{"sh", "-c", R"(echo "$X"  y)"});
  CHECK(words(R"(a "b c" d)") == Words{"a", "b c", "d"});
  CHECK(words(R"("say \"hi\" \\ \$HOME \n")") == Words{R"(say "hi" \ $HOME \n)"});
  CHECK(words(R"(a\ b 'it'\''s' '' "")") == Words{"a b", "it's", "", ""});
  CHECK(words(R"(--name="a b"c)") == Words{"--name=a bc"});
  CHECK(words("a $X *.txt | b > c") == Words{"a", "$X", "*.txt", "|", "b", ">", "c"});
  CHECK(words("é 漢") == Words{"é", "漢"});
}

TEST_CASE("a command line with a quote that does not end is refused", "[command]") {
  for (const char* line : {"a 'b", "\"", "a \"b\\\"", "a\\"}) {
    CAPTURE(line);
    const Result<Words> split = split_command_line(line);
    REQUIRE_FALSE(split);
    CHECK(split.error().code == ErrorCode::kInvalid);
  }
}

TEST_CASE("an executor's settings have defaults and are read from its environment", "[settings]") {
  const Result<ExecutorSettings> none = settings({});
  REQUIRE(none);
  CHECK(none->port == 8080);
  CHECK(none->command.empty());
  CHECK_FALSE(none->timeout);
  CHECK_FALSE(none->context);
  CHECK(none->output_max == 1 << 20);
  CHECK(none->folder == "/tmp");
  const Result<ExecutorSettings> all = settings({{"EXECUTOR_PORT", "9"},
                                                 {"CUSTOM_CMD", "a 'b c'"},
                                                 {"CONTEXT", "{}"},
                                                 {"EXECUTOR_TIMEOUT_SEC", "0.5"},
                                                 {"EXECUTOR_BODY_LIMIT", "1"},
                                                 {"EXECUTOR_OUTPUT_LIMIT", "2"},
                                                 {"EXECUTOR_RESULT_LIMIT", "3"},
                                                 {"TMPDIR", "/var/tmp"}});
  REQUIRE(all);
  CHECK(all->port == 9);
  CHECK(all->command == Words{"a", "b c"});
  CHECK(all->context == "{}");
  CHECK(all->timeout == std::chrono::milliseconds(500));
  CHECK(std::vector{all->body_max, all->output_max, all->result_max} == std::vector<std::size_t>{1, 2, 3});
  CHECK(all->folder == "/var/tmp");
}

TEST_CASE("an executor's setting that is wrong is named", "[settings]") {
  CHECK_THAT(complaint({{"EXECUTOR_PORT", "65536"}}), Contains("EXECUTOR_PORT") && Contains("65535"));
  CHECK_THAT(complaint({{"EXECUTOR_PORT", "-1"}}), Contains("EXECUTOR_PORT"));
  CHECK_THAT(complaint({{"EXECUTOR_OUTPUT_LIMIT", "1M"}}),
             Contains("EXECUTOR_OUTPUT_LIMIT") && Contains("1M"));
  CHECK_THAT(complaint({{"EXECUTOR_RESULT_LIMIT", "-1"}}), Contains("EXECUTOR_RESULT_LIMIT"));
  for (const char* seconds : {"0", "-1", "nan", "inf", "soon"})
    CHECK_THAT(complaint({{"EXECUTOR_TIMEOUT_SEC", seconds}}), Contains("EXECUTOR_TIMEOUT_SEC"));
  CHECK_THAT(complaint({{"CUSTOM_CMD", "a 'b"}}), Contains("CUSTOM_CMD") && Contains("not closed"));
}

TEST_CASE("a call's fields are read, and its params and context kept as they came", "[request]") {
  const Result<CallRequest> whole = parse_call(
      R"({"Command":["a",""],"Params":{"n": 1e3, "s":"\u00e9"},"Handler":"h","HandlerDir":"/app","ReturnOutput":true,"Context":{"a": 1},"Other":[1]})");
  REQUIRE(whole);
  CHECK(whole->command == Words{"a", ""});
  CHECK(whole->params == R"({"n": 1e3, "s":"\u00e9"})");
  CHECK(whole->context == R"({"a": 1})");
  CHECK(whole->handler == "h");
  CHECK(whole->handler_dir == "/app");
  CHECK(whole->return_output);
  const Result<CallRequest> nulls =
      parse_call(R"({"Command":null,"Params":null,"Handler":null,"Context":null,"ReturnOutput":null})");
  REQUIRE(nulls);
  CHECK(nulls->command.empty());
  CHECK_FALSE(nulls->params);
  CHECK_FALSE(nulls->context);
  CHECK_FALSE(nulls->return_output);
  CHECK(parse_call("{}"));
}

TEST_CASE("a call that is none is refused with the field that is wrong", "[request]") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "body"},
      {"[]", "the body must be a JSON object"},
      {"{} {}", "body"},
      {R"({"Command":"ls"})", "Command must be an array"},
      {R"({"Command":[1]})", "Command must be an array"},
      {R"({"Command":["a\u0000b"]})", "NUL"},
      {R"({"Handler":1})", "Handler must be a string"},
      {R"({"HandlerDir":"\u0000"})", "HandlerDir must be a string"},
      {R"({"ReturnOutput":"yes"})", "ReturnOutput must be true or false"},
      {R"({"Context":"x"})", "Context must be an object"},
      {std::string(R"({"Params":)") + std::string(600, '['), "nested deeper"},
  };
  for (const auto& [body, message] : cases) {
    CAPTURE(body);
    const Result<CallRequest> call = parse_call(body);
    REQUIRE_FALSE(call);
    CHECK_THAT(call.error().message, Contains(message));
  }
}
