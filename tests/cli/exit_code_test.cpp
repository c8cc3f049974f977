// Each way to fail has a code of its own, the same for every command, and says on stderr what is wrong.
#include <catch2/catch.hpp>
#include <fstream>

#include "recording_node.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {
namespace {

using Arguments = std::vector<std::string>;

// Each command, with the least that it needs.
const std::vector<Arguments>& commands() {
  static const std::vector<Arguments> all = {
      {"create", "-f", "own", "--runtime", "custom", "--custom_image", "example/own"},
      {"delete", "-f", "func"},
      {"invoke", "-f", "func"},
      {"invoke", "-f", "func", "--raw"},
      {"list"},
      {"poll", "--request", "func-1"},
      {"prewarm", "-f", "func"},
      {"status"},
  };
  return all;
}

void check_fails(const CommandRun& run, int code, const std::string& message) {
  INFO(run.err);
  CHECK(run.exit_code == code);
  CHECK(run.out.empty());
  CHECK_THAT(run.err, Catch::Contains(message));
}

}  // namespace

TEST_CASE("every command exits with 2 on every error status, and says why", "[cli]") {
  for (const int status : {400, 404, 429, 500, 503}) {
    for (const auto& arguments : commands()) {
      RecordingNode node;
      node.answer(HttpResponse::json(status, R"({"Error":"because of this"})"));
      CAPTURE(arguments.front(), status);
      check_fails(node.cli(arguments), 2,
                  "the node answered " + std::to_string(status) + ": because of this");
    }
  }
}

TEST_CASE("every command exits with 2 when no node answers", "[cli]") {
  int port = 0;
  {
    const RecordingNode node;
    port = node.port();
  }
  for (const auto& arguments : commands()) {
    CAPTURE(arguments.front());
    check_fails(
        run_cli(arguments, {"SERVERLEDGE_HOST=127.0.0.1", "SERVERLEDGE_PORT=" + std::to_string(port)}), 2,
        "127.0.0.1:" + std::to_string(port));
  }
}

TEST_CASE("wrong usage exits with 1 and sends nothing", "[cli]") {
  const RecordingNode node;
  const std::vector<std::pair<Arguments, std::string>> cases = {
      {{}, "a command is required"},
      {{"walk"}, "walk"},
      {{"invoke"}, "--function"},
      {{"invoke", "-f", "func", "--fast"}, "--fast"},
      {{"invoke", "-f", "func", "--class", "high"}, "--class"},
      {{"invoke", "-f", "func", "--resptime", "soon"}, "--resptime"},
      {{"invoke", "-f", "func", "-p", "novalue"}, "param must be <name>:<value>, not 'novalue'"},
      {{"invoke", "-f", "func", "-p", ":value"}, "param must be <name>:<value>"},
      {{"invoke", "-f", "func", "-p", "n:\xff"}, "not UTF-8"},
      {{"invoke", "-f", "func", "-p", "a:1", "b:2"}, "b:2"},
      {{"invoke", "-f", "func", "--async", "--raw"}, "--async"},
      {{"create", "--src", "x.py"}, "--function"},
      {{"create", "-f", "func"}, "--src is required"},
      {{"create", "-f", "func", "--runtime", "custom"}, "needs --custom_image"},
      {{"create", "-f", "func", "--custom_image", "example/own", "--src", "x.py"}, "needs --runtime custom"},
      {{"create", "-f", "func", "--runtime", "custom", "--custom_image", "a", "--src", "x.py"},
       "--src has no effect"},
      {{"create", "-f", "func", "--src", "x.py", "--memory", "much"}, "--memory"},
      {{"create", "-f", "func", "--src", "x.py", "-C", "40000"}, "--max_concurrency"},
      {{"delete"}, "--function"},
      {{"poll"}, "--request"},
      {{"poll", "--request", "r", "--wait", "-1"}, "--wait"},
      {{"prewarm"}, "--function"},
      {{"prewarm", "-f", "func", "-c", "-1"}, "--count"},
      {{"list", "everything"}, "everything"},
      {{"-P", "0", "list"}, "--port"},
      {{"-P", "http", "list"}, "--port"},
  };
  for (const auto& [arguments, message] : cases) {
    CAPTURE(arguments);
    check_fails(node.cli(arguments), 1, message);
  }
  CHECK(node.exchanges().empty());
}

TEST_CASE("a bad file of parameters exits with 1 and sends nothing", "[cli]") {
  const TemporaryFolder folder;
  const RecordingNode node;
  const auto check_file = [&](std::string_view text, const std::string& message) {
    std::ofstream(folder.file("p.json")) << text;
    CAPTURE(text);
    check_fails(node.cli({"invoke", "-f", "func", "-j", folder.file("p.json")}), 1, message);
  };
  check_file("[1]", "must hold a JSON object, not an array");
  check_file("", "p.json");
  check_file("{\"a\":1} x", "p.json");
  check_fails(node.cli({"invoke", "-f", "func", "-j", folder.file("none.json")}), 1, "No such file");
  CHECK(node.exchanges().empty());
}

TEST_CASE("a source that cannot be read or packed exits with 3 and sends nothing", "[cli]") {
  const TemporaryFolder folder;
  const RecordingNode node;
  const auto check_source = [&](const std::string& source, const std::string& message) {
    CAPTURE(source);
    check_fails(node.cli({"create", "-f", "func", "--src", source}), 3, message);
  };
  check_source(folder.file("none.py"), "none.py: No such file");
  std::filesystem::create_directory(folder.file("empty"));
  check_source(folder.file("empty"), "the directory is empty");
  std::ofstream(folder.file("empty.tar")).close();
  check_source(folder.file("empty.tar"), "the archive is empty");
  check_source("/dev/null", "neither a file nor a directory");
  CHECK(node.exchanges().empty());
}

TEST_CASE("a bad signature exits with 4 and sends nothing", "[cli]") {
  const RecordingNode node;
  const Arguments create = {"create", "-f", "own", "--runtime", "custom", "--custom_image", "example/own"};
  const std::vector<std::pair<Arguments, std::string>> cases = {
      {{"-i", "n"}, "--input must be <name>:<type>, not 'n'"},
      {{"-o", ":Int"}, "--output must be <name>:<type>"},
      {{"-i", "n:Integer"}, "there is no type 'Integer'"},
      {{"-i", "n:Int", "-o", "r:int"}, "there is no type 'int'"},
  };
  for (const auto& [options, message] : cases) {
    Arguments arguments = create;
    arguments.insert(arguments.end(), options.begin(), options.end());
    CAPTURE(arguments);
    check_fails(node.cli(arguments), 4, message);
  }
  CHECK(node.exchanges().empty());
}

TEST_CASE("help exits with 0 and gives an example of every command", "[cli]") {
  const auto all = run_cli({"--help"});
  CHECK(all.exit_code == 0);
  for (const auto& arguments : commands()) {
    CAPTURE(arguments.front());
    CHECK_THAT(all.out, Catch::Contains("\n  " + arguments.front() + " "));
    const auto one = run_cli({arguments.front(), "--help"});
    CHECK(one.exit_code == 0);
    CHECK_THAT(one.out, Catch::Contains("Example") && Catch::Contains("  serverledge-cli "));
    CHECK_THAT(one.out, Catch::Contains(" " + arguments.front()));
  }
}

}  // namespace serverledge::test
