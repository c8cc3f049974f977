// The embedded store behind a real node: what it keeps, and what only one of many callers can do.
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "integration/command_line.hpp"
#include "serverledge/net/base64.hpp"
#include "support/answers.hpp"

namespace serverledge::test {
namespace {

std::string creation(const std::string& name, const std::string& source) {
  return R"({"Name":")" + name + R"(","Runtime":"python314","MemoryMB":64,"Handler":")" + name +
         R"(.handler","TarFunctionCode":")" + base64_encode(source) + "\"}";
}

TEST_CASE("functions survive a stop, and SIGKILL right after they were created", "[integration]") {
  const int how = GENERATE(SIGTERM, SIGKILL);
  CAPTURE(how);
  NodeProcess node;
  const std::string inc = kExamples + "/inc.py";
  REQUIRE(cli(node, {"create", "-f", "inc", "--src", inc, "--handler", "inc.handler"}).exit_code == 0);
  REQUIRE(cli(node, {"create", "-f", "gone", "--src", inc, "--handler", "inc.handler"}).exit_code == 0);
  REQUIRE(cli(node, {"delete", "-f", "gone"}).exit_code == 0);
  REQUIRE(cli(node, {"create", "-f", "inc", "--src", kExamples + "/inc.js", "--handler", "inc", "--runtime",
                     "nodejs17ng", "--update"})
              .exit_code == 0);
  node.create_python("last", "def handler(params, context):\n    return 'the last one'\n");
  node.signal(how);
  CHECK(node.wait() == (how == SIGTERM ? 0 : -SIGKILL));

  node.start();
  CHECK(cli(node, {"list"}).out == "[\n\t\"inc\",\n\t\"last\"\n]\n");
  const CommandRun run = cli(node, {"invoke", "-f", "inc", "-p", "n:1", "--raw"});
  INFO(run.err);
  CHECK(run.out == "{\"result\":2}\n");
  CHECK(text_member(node.post("/invoke/last", "{}"), "Result") == "\"the last one\"");
}

TEST_CASE("functions survive the loss of their unpacked code", "[integration]") {
  NodeProcess node;
  node.create_python("f", "def handler(params, context):\n    return 'still here'\n");
  CHECK(node.stop() == 0);
  std::filesystem::remove_all(node.store() / "code");
  node.start();
  CHECK(text_member(node.post("/invoke/f", "{}"), "Result") == "\"still here\"");
}

TEST_CASE("with store.path :memory: nothing is kept", "[integration]") {
  NodeProcess node({{{"store.path", ":memory:"}}, {}});
  node.create_python("f", "def handler(params, context):\n    return 1\n");
  CHECK(node.post("/invoke/f", "{}").status == 200);
  CHECK(node.stop() == 0);
  node.start();
  CHECK(node.post("/invoke/f", "{}").status == 404);
  CHECK(node.get("/function").body.find("\"f\"") == std::string::npos);
}

TEST_CASE("of 50 concurrent creates of one name exactly one succeeds, and its code is what runs",
          "[integration]") {
  const NodeProcess node;
  for (const std::string name : {"one", "two"}) {
    const std::vector<HttpResponse> answers = post_at_once(
        node, 50,
        [&](int call) {
          return std::pair(
              std::string("/create"),
              creation(name, "def handler(params, context):\n    return " + std::to_string(call) + "\n"));
        },
        50);
    std::vector<std::size_t> created;
    for (std::size_t call = 0; call < answers.size(); ++call) {
      INFO(answers[call].body);
      if (answers[call].status == 200) {
        created.push_back(call);
      } else {
        CHECK(answers[call].status == 409);
      }
    }
    REQUIRE(created.size() == 1);
    CHECK(text_member(node.post("/invoke/" + name, "{}"), "Result") == std::to_string(created.front()));
  }
}

}  // namespace
}  // namespace serverledge::test
