// What the commands send, byte for byte.
#include <catch2/catch.hpp>
#include <fstream>

#include "recording_node.hpp"
#include "serverledge/net/base64.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {
namespace {

std::string write_file(const TemporaryFolder& folder, const std::string& name, std::string_view text) {
  std::ofstream(folder.file(name), std::ios::binary) << text;
  return folder.file(name);
}

// The body that an invocation with these arguments sends.
std::string invoke_body(std::vector<std::string> arguments) {
  const RecordingNode node;
  arguments.insert(arguments.begin(), {"invoke", "-f", "func"});
  REQUIRE(node.cli(arguments).exit_code == 0);
  REQUIRE(node.exchange().path == "/invoke/func");
  return node.exchange().body;
}

std::string body_with(const std::string& params) {
  return R"({"Params":)" + params +
         R"(,"QoSClass":0,"QoSMaxRespT":-1,"CanDoOffloading":true,"Async":false,"ReturnOutput":false})";
}

}  // namespace

TEST_CASE("invoke sends the parameters as strings and the defaults of the contract", "[cli]") {
  const RecordingNode node;
  const auto run = node.cli({"invoke", "-f", "func", "-p", "a:2", "-p", "b:3"});
  CHECK(run.exit_code == 0);
  CHECK(node.exchange().method == "POST");
  CHECK(node.exchange().path == "/invoke/func");
  CHECK(node.exchange().content_type == "application/json");
  CHECK(node.exchange().body == body_with(R"({"a":"2","b":"3"})"));
}

TEST_CASE("invoke splits a parameter at its first colon and nowhere else", "[cli]") {
  CHECK(invoke_body({"-p", "url:http://x/y:1", "-p", "list:1,2,3"}) ==
        body_with(R"({"url":"http://x/y:1","list":"1,2,3"})"));
  CHECK(invoke_body({"-p", "text: two  words ", "-p", "empty:"}) ==
        body_with(R"({"text":" two  words ","empty":""})"));
  CHECK(invoke_body({"-p", "minus:-1", "--param=-x:[a,b]", "-py:{}"}) ==
        body_with(R"({"minus":"-1","-x":"[a,b]","y":"{}"})"));
  CHECK(invoke_body({"-p", "a:first", "-p", "b:1", "-p", "a:last"}) == body_with(R"({"a":"last","b":"1"})"));
  CHECK(invoke_body({"-p", "quote:\"\\\n", "-p", "é:日本"}) == body_with(R"({"quote":"\"\\\n","é":"日本"})"));
}

TEST_CASE("invoke sends every option", "[cli]") {
  CHECK(
      invoke_body({"--resptime", "1.5", "-c", "2", "-a", "-o"}) ==
      R"({"Params":{},"QoSClass":2,"QoSMaxRespT":1.5,"CanDoOffloading":true,"Async":true,"ReturnOutput":true})");
  CHECK(
      invoke_body({"--class=-3", "--resptime", "-1"}) ==
      R"({"Params":{},"QoSClass":-3,"QoSMaxRespT":-1,"CanDoOffloading":true,"Async":false,"ReturnOutput":false})");
}

TEST_CASE("invoke sends the values of a file of parameters unchanged, and arguments in their place",
          "[cli]") {
  const TemporaryFolder folder;
  const auto file = write_file(
      folder, "p.json", "{ \"n\": 123456789012345678901234567890,\n \"x\": [1, 2.50], \"s\":\"é\" }\n");
  CHECK(invoke_body({"-j", file}) ==
        body_with(R"({"n":123456789012345678901234567890,"x":[1, 2.50],"s":"é"})"));
  CHECK(invoke_body({"-j", file, "-p", "x:1", "-p", "y:2"}) ==
        body_with(R"({"n":123456789012345678901234567890,"x":"1","s":"é","y":"2"})"));
}

TEST_CASE("create sends a whole record, with a tar of the file", "[cli]") {
  const TemporaryFolder folder;
  const RecordingNode node;
  const auto source = write_file(folder, "hello.py", "def handler(params, context): return 1\n");
  const auto run = node.cli({"create", "-f", "func", "--handler", "hello.handler", "--src", source, "-i",
                             "n:Int", "-o", "r:ArrayInt"});
  INFO(run.err);
  CHECK(run.exit_code == 0);
  CHECK(node.exchange().path == "/create");
  const std::string body = node.exchange().body;
  const std::string before =
      R"({"Name":"func","Runtime":"python314","MemoryMB":128,"CPUDemand":0,"MaxConcurrency":1,"Handler":"hello.handler","TarFunctionCode":")";
  const std::string after =
      R"(","CustomImage":"","SupportedArchs":null,"Signature":{"Inputs":[{"Name":"n","Type":"Int"}],"Outputs":[{"Name":"r","Type":"ArrayInt"}]}})";
  REQUIRE(body.starts_with(before));
  REQUIRE(body.ends_with(after));
  const auto tar = base64_decode(body.substr(before.size(), body.size() - before.size() - after.size()));
  REQUIRE(tar);
  CHECK(tar->substr(0, 9) == std::string("hello.py\0", 9));
  CHECK(tar->substr(257, 5) == "ustar");
}

TEST_CASE("create sends every option, a URL as itself, and updates when told to", "[cli]") {
  const RecordingNode node;
  const auto run =
      node.cli({"create", "-u", "-f", "func", "--runtime", "nodejs17ng", "--handler", "main", "--memory",
                "256", "-C", "4", "--cpu", "0.5", "--timeout", "2.5", "--src", "https://example.org/f.tar"});
  INFO(run.err);
  CHECK(run.exit_code == 0);
  CHECK(node.exchange().path == "/update");
  CHECK(
      node.exchange().body ==
      R"({"Name":"func","Runtime":"nodejs17ng","MemoryMB":256,"CPUDemand":0.5,"MaxConcurrency":4,"Handler":"main","TarFunctionCode":")" +
          base64_encode("https://example.org/f.tar") +
          R"(","CustomImage":"","SupportedArchs":null,"Signature":{"Inputs":[],"Outputs":[]},"TimeoutSec":2.5})");
}

TEST_CASE("create sends no code for a custom image", "[cli]") {
  const RecordingNode node;
  const auto run =
      node.cli({"create", "-f", "own", "--runtime", "custom", "--custom_image", "example/own:1"});
  INFO(run.err);
  CHECK(run.exit_code == 0);
  CHECK(
      node.exchange().body ==
      R"({"Name":"own","Runtime":"custom","MemoryMB":128,"CPUDemand":0,"MaxConcurrency":1,"Handler":"","TarFunctionCode":"","CustomImage":"example/own:1","SupportedArchs":null,"Signature":{"Inputs":[],"Outputs":[]}})");
}

TEST_CASE("delete and prewarm send the bodies of the contract", "[cli]") {
  {
    const RecordingNode node;
    CHECK(node.cli({"delete", "-f", "func"}).exit_code == 0);
    CHECK(node.exchange().path == "/delete");
    CHECK(
        node.exchange().body ==
        R"({"Name":"func","Runtime":"","MemoryMB":0,"CPUDemand":0,"MaxConcurrency":0,"Handler":"","TarFunctionCode":"","CustomImage":"","SupportedArchs":null,"Signature":null})");
  }
  {
    const RecordingNode node;
    CHECK(node.cli({"prewarm", "-f", "func"}).exit_code == 0);
    CHECK(node.exchange().path == "/prewarm");
    CHECK(node.exchange().body == R"({"Function":"func","Instances":1,"ForceImagePull":false})");
  }
  const RecordingNode node;
  CHECK(node.cli({"prewarm", "-f", "func", "-c", "0", "--force_pull"}).exit_code == 0);
  CHECK(node.exchange().body == R"({"Function":"func","Instances":0,"ForceImagePull":true})");
}

TEST_CASE("list, status and poll ask by GET", "[cli]") {
  const RecordingNode node;
  CHECK(node.cli({"list"}).exit_code == 0);
  CHECK(node.cli({"status"}).exit_code == 0);
  CHECK(node.cli({"poll", "--request", "func-1/2 é"}).exit_code == 0);
  const auto exchanges = node.exchanges();
  REQUIRE(exchanges.size() == 3);
  for (const auto& exchange : exchanges) CHECK(exchange.method == "GET");
  CHECK(exchanges[0].path == "/function");
  CHECK(exchanges[1].path == "/status");
  CHECK(exchanges[2].path == "/poll/func-1/2 é");  // sent as one segment, decoded here
}

TEST_CASE("the node is named by options before or behind the command, then by the environment", "[cli]") {
  const RecordingNode node;
  const auto port = std::to_string(node.port());
  const std::vector<std::string> nowhere = {"SERVERLEDGE_HOST=203.0.113.1", "SERVERLEDGE_PORT=1"};
  CHECK(run_cli({"-H", "127.0.0.1", "-P", port, "list"}, nowhere).exit_code == 0);
  CHECK(run_cli({"list", "--host", "localhost", "--port", port}, nowhere).exit_code == 0);
  CHECK(node.cli({"list"}).exit_code == 0);
  CHECK(node.exchanges().size() == 3);
}

TEST_CASE("without a port the one of a configuration file is taken", "[cli]") {
  const RecordingNode node;
  const TemporaryFolder home;
  write_file(home, "serverledge-conf.yaml", "api:\n  port: " + std::to_string(node.port()) + "\n");
  const auto run = run_cli({"list"}, {"HOME=" + home.path().string()});
  INFO(run.err);
  CHECK(run.exit_code == 0);
  CHECK(node.exchanges().size() == 1);
  write_file(home, "serverledge-conf.yaml", "api.prot: 1\n");
  CHECK_THAT(run_cli({"list"}, {"HOME=" + home.path().string()}).err,
             Catch::Contains("the configuration file is not used: ") && Catch::Contains("api.prot"));
}

}  // namespace serverledge::test
