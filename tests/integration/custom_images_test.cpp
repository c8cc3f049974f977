// The images of examples/images on a real engine, used by the command line on a real node.
#include <catch2/catch.hpp>
#include <fstream>
#include <string>
#include <vector>

#include "command_line.hpp"
#include "serverledge/core/json.hpp"
#include "support/command_run.hpp"
#include "support/docker_engine.hpp"
#include "support/node_process.hpp"
#include "support/skip.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {
namespace {

const std::string kImages = SERVERLEDGE_IMAGES;

/// The fixture's engine, with an image that examples/images/build.sh makes.
DockerEngine engine_with(const std::string& image) {
  DockerEngine engine = DockerEngine::of_fixture();
  if (!engine.has_image(image))
    skip_test("the engine has no " + image + "; examples/images/build.sh makes it");
  return engine;
}

/// Builds a custom image from its folder, as its Dockerfile says; its name.
std::string build_custom(const DockerEngine& engine, const std::string& name) {
  if (run_command({"sh", "-c", "command -v docker"}).exit_code != 0) skip_test("there is no docker command");
  const std::string image = "serverledge-test-" + name;
  const CommandRun built =
      run_command({"docker", "build", "-t", image, "--network", "host", kImages + "/" + name},
                  {"DOCKER_HOST=" + engine.host()});
  INFO(built.out.substr(built.out.size() > 2000 ? built.out.size() - 2000 : 0) << built.err);
  REQUIRE(built.exit_code == 0);
  return image;
}

NodeProcess::Options on(const DockerEngine& engine, const std::string& runtime) {
  return {{{"container.runtime", runtime}, {"container.docker.host", engine.host()}}, {}};
}

void create(const NodeProcess& node, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"create", "--memory", "128", "-f"});
  const CommandRun created = cli(node, arguments);
  INFO(created.out << created.err);
  REQUIRE(created.exit_code == 0);
}

/// What `invoke` prints, whose exit code must be this.
std::string invoke(const NodeProcess& node, std::vector<std::string> arguments, int exit_code = 0) {
  arguments.insert(arguments.begin(), {"invoke", "-f"});
  const CommandRun run = cli(node, arguments);
  INFO(run.out << run.err);
  CHECK(run.exit_code == exit_code);
  return run.out + run.err;
}

std::string output_of(const std::string& answer) {
  const auto document = JsonDocument::parse(answer);
  REQUIRE(document);
  const auto output = document->root().find("Output");
  REQUIRE(output);
  return std::string(output->as_string().value_or("<no text>"));
}

}  // namespace

TEST_CASE("a custom image with a C++ program is created and invoked by the command line", "[docker]") {
  const DockerEngine engine = engine_with("serverledge-base");
  const std::string image = build_custom(engine, "custom-cpp");
  const NodeProcess node(on(engine, "auto"));
  create(node, {"primes", "--runtime", "custom", "--custom_image", image});
  for (int i = 0; i < 2; ++i)  // cold and warm
    CHECK(invoke(node, {"primes", "-p", "n:100", "--raw"}) == "{\"count\":25,\"largest\":97}\n");
  CHECK(output_of(invoke(node, {"primes", "-p", "n:100", "--return_output"})) == "found 25 primes\n");
  const std::string failed = invoke(node, {"primes", "-p", "n:-1"}, 2);
  CHECK_THAT(failed, Catch::Contains("exited with status 1") && Catch::Contains("n must be from 0"));
  CHECK(invoke(node, {"primes", "-p", "n:2", "--raw"}) == "{\"count\":1,\"largest\":2}\n");
}

TEST_CASE("a custom image with a Python program and a library is created and invoked by the command line",
          "[docker]") {
  const DockerEngine engine = engine_with("serverledge-base");
  const std::string image = build_custom(engine, "custom-python");
  const NodeProcess node(on(engine, "auto"));
  const TemporaryFolder folder;
  const std::string params = folder.file("params.json");
  std::ofstream(params) << R"({"x":[0,1,2],"y":[1,3,5]})";
  create(node, {"fit", "--runtime", "custom", "--custom_image", image});
  CHECK(invoke(node, {"fit", "-j", params, "--raw"}) == "{\"slope\": 2.0, \"intercept\": 1.0}\n");
  CHECK_THAT(output_of(invoke(node, {"fit", "-j", params, "--return_output"})),
             Catch::StartsWith("fitted 3 points with numpy "));
  CHECK_THAT(invoke(node, {"fit", "-p", "x:1"}, 2), Catch::Contains("KeyError: 'y'"));
}

TEST_CASE("the example functions run in the Python image and in the Node.js image", "[docker]") {
  const DockerEngine engine = engine_with("serverledge-python310");
  if (!engine.has_image("serverledge-nodejs17")) skip_test("the engine has no serverledge-nodejs17");
  const NodeProcess node(on(engine, "docker"));
  create(node, {"hello", "--src", kExamples + "/hello.py", "--handler", "hello.handler"});
  create(node,
         {"hello-js", "--src", kExamples + "/hello.js", "--handler", "hello", "--runtime", "nodejs17ng"});
  create(node, {"prime", "--src", kExamples + "/isprime.py", "--handler", "isprime.handler"});
  create(node,
         {"prime-js", "--src", kExamples + "/isprime.js", "--handler", "isprime", "--runtime", "nodejs17ng"});
  for (const std::string ending : {"", "-js"}) {
    CAPTURE(ending);
    CHECK(output_of(invoke(node, {"hello" + ending, "-p", "a:2", "--return_output"})) ==
          "Executing function....\n");
    CHECK(invoke(node, {"prime" + ending, "-p", "n:65537", "--raw"}) == "{\"n\":65537,\"prime\":true}\n");
    CHECK_THAT(invoke(node, {"prime" + ending, "-p", "n:x"}, 2),
               Catch::Contains(ending.empty() ? "ValueError: invalid literal" : "NaN is not JSON"));
    CHECK(invoke(node, {"prime" + ending, "-p", "n:65535", "--raw"}) == "{\"n\":65535,\"prime\":false}\n");
  }
}

}  // namespace serverledge::test
