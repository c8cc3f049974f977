// The Docker runtime on Podman's service, which speaks the same API.
#include <catch2/catch.hpp>
#include <string>

#include "runtime/docker_under_test.hpp"

namespace serverledge::test {
namespace {

TEST_CASE("functions run on Podman's service, and nothing is left of them", "[docker][podman]") {
  const PodmanService podman;
  const DockerEngine& engine = podman.engine();
  const std::string image = engine.tiny_image();
  DockerUnderTest under_test(engine.host(), {.adjust = [&](DockerOptions& options) {
                               options.images["python314"] = image;
                               options.init = false;  // which takes a package of its own there
                             }});
  Function function = DockerUnderTest::custom(image);
  function.cpu_demand = 0.5;
  auto container = start(under_test, function);
  check_echoes(*container);
  const Reply ended = call(*container, R"({"exit":3})");
  REQUIRE(ended.failure);
  CHECK(ended.failure->message == "the function's process exited with status 3");
  container->destroy();

  // With code bound into it; and ended by us while it runs.
  auto with_code = start(under_test, under_test.python("def handler(params, context):\n    return 1\n"));
  CHECK(call(*with_code, R"({"n":1})").result == R"({"n":1})");
  CHECK(engine.containers(under_test.label()).size() == 1);
  with_code->destroy();
  CHECK(engine.containers(under_test.label()).empty());
  CHECK(under_test.log().find("Podman does not keep the containers of a network apart") != std::string::npos);
  CHECK(under_test.log().find("could not be removed") == std::string::npos);
  const std::string network = under_test.network();
  CHECK(engine.request("GET", network, {}, false).status == 200);
  under_test.stop();
  CHECK(engine.request("GET", network, {}, false).status == 404);
}

}  // namespace
}  // namespace serverledge::test
