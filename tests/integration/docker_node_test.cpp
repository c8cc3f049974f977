// The real server with container images on a real engine.
#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <stdexcept>
#include <string>

#include "support/answers.hpp"
#include "support/docker_engine.hpp"
#include "support/node_process.hpp"

namespace serverledge::test {
namespace {

using Settings = std::map<std::string, std::string>;

NodeProcess::Options on(const std::string& host, const Settings& settings = {}) {
  Settings all{{"container.runtime", "docker"}, {"container.docker.host", host}};
  for (const auto& [key, value] : settings) all[key] = value;
  return {all, {}};
}

HttpResponse create_custom(const NodeProcess& node, const std::string& name, const std::string& image,
                           const std::string& fields = {}) {
  return node.post("/create", R"({"Name":")" + name +
                                  R"(","Runtime":"custom","MemoryMB":64,"CustomImage":")" + image + '"' +
                                  fields + "}");
}

HttpResponse invoke(const NodeProcess& node, const std::string& name, const std::string& params = "{}") {
  return node.post("/invoke/" + name, "{\"Params\":" + params + "}");
}

std::string label_of(const NodeProcess& node) {
  std::ifstream file(node.store() / "node-id");
  std::string id;
  file >> id;
  return "serverledge.node%3D" + id;
}

bool nothing_held(const NodeProcess& node) {
  return eventually([&] {
    const HttpResponse status = node.get("/status");
    return member(status, "FreeMemory") == member(status, "TotalMemory") && member(status, "UsedCPU") == "0";
  });
}

TEST_CASE("a function of an image is created, runs cold and warm, and goes with its function", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  NodeProcess node(on(engine.host()));
  REQUIRE(create_custom(node, "tiny", engine.tiny_image()).status == 200);
  const HttpResponse cold = invoke(node, "tiny", R"({"n":1})");
  INFO(cold.body);
  REQUIRE(cold.status == 200);
  CHECK(text_member(cold, "Result") == R"({"n":1})");
  CHECK(member(cold, "IsWarmStart") == "false");
  const HttpResponse warm = invoke(node, "tiny", R"({"n":2})");
  CHECK(text_member(warm, "Result") == R"({"n":2})");
  CHECK(member(warm, "IsWarmStart") == "true");
  CHECK(engine.containers(label_of(node)).size() == 1);
  const HttpResponse accepted = node.post("/invoke/tiny", R"({"Params":{"n":3},"Async":true})");
  CHECK(text_member(poll(node, accepted), "Result") == R"({"n":3})");
  CHECK(node.post("/delete", R"({"Name":"tiny"})").status == 200);
  CHECK(eventually([&] { return engine.containers(label_of(node)).empty(); }));
  CHECK(nothing_held(node));
}

TEST_CASE("nothing is left in the engine after SIGTERM, nor after the start that follows a SIGKILL",
          "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  NodeProcess node(on(engine.host()));
  REQUIRE(create_custom(node, "tiny", engine.tiny_image()).status == 200);
  REQUIRE(invoke(node, "tiny").status == 200);
  const std::string label = label_of(node);
  node.signal(SIGKILL);
  node.wait();
  node.start();
  CHECK(engine.containers(label).empty());
  REQUIRE(invoke(node, "tiny").status == 200);
  CHECK(engine.containers(label).size() == 1);
  CHECK(node.stop() == 0);
  CHECK(engine.containers(label).empty());
  CHECK(engine.request("GET", "/networks?filters=%7B%22label%22%3A%5B%22" + label + "%22%5D%7D").body ==
        "[]\n");
}

TEST_CASE("the node's interface refuses every request out of its containers", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  NodeProcess node(on(engine.host(), {{"api.listen", "0.0.0.0"}}));
  REQUIRE(create_custom(node, "tiny", engine.tiny_image()).status == 200);
  const HttpResponse refused = invoke(node, "tiny", "{\"ask\":" + std::to_string(node.port()) + "}");
  REQUIRE(refused.status == 200);
  const std::string got = text_member(refused, "Result");
  CHECK((got == R"({"got":-1})" || got == R"({"got":0})"));
  CHECK(node.get("/status").status == 200);
}

TEST_CASE("a failed start gives back all that it held, and says why", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  NodeProcess node(on(engine.host()));
  const std::string image = "serverledge-test-vanishing";
  engine.request("POST", "/images/" + engine.tiny_image() + "/tag?repo=" + image + "&tag=latest");
  REQUIRE(create_custom(node, "tiny", image, R"(,"CPUDemand":1)").status == 200);
  engine.request("DELETE", "/images/" + image);
  const HttpResponse failed = invoke(node, "tiny");
  CHECK(failed.status == 500);
  CHECK(failed.body.find("cannot be pulled") != std::string::npos);
  CHECK(nothing_held(node));
  const HttpResponse prewarm = node.post("/prewarm", R"({"Function":"tiny","Instances":2})");
  CHECK(prewarm.status / 100 == 5);
  CHECK(nothing_held(node));
  engine.request("POST", "/images/" + engine.tiny_image() + "/tag?repo=" + image + "&tag=latest");
  CHECK(invoke(node, "tiny").status == 200);
}

TEST_CASE("a function whose image is unknown is not created", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  NodeProcess node(on(engine.host()));
  const HttpResponse refused = create_custom(node, "tiny", "127.0.0.1:1/unknown");
  CHECK(refused.status == 500);
  CHECK(refused.body.find("Failed to get image architectures") != std::string::npos);
  CHECK(create_custom(node, "tiny", "../containers/json").status == 500);
}

TEST_CASE("a container that dies under a call fails it, and the next one works", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  NodeProcess node(on(engine.host()));
  REQUIRE(create_custom(node, "tiny", engine.tiny_image()).status == 200);
  REQUIRE(invoke(node, "tiny").status == 200);
  // Idle: nobody notices.
  engine.request("POST", "/containers/" + engine.containers(label_of(node)).at(0) + "/kill");
  CHECK(invoke(node, "tiny").status == 200);
  const HttpResponse crashed = invoke(node, "tiny", R"({"exit":3})");
  CHECK(crashed.status == 500);
  INFO(crashed.body);
  CHECK(crashed.body.find("exited with status 3") != std::string::npos);
  CHECK(invoke(node, "tiny").status == 200);
}

TEST_CASE("a node of containers alone needs its engine at the start", "[docker]") {
  TemporaryFolder folder;
  std::string log;
  try {
    const NodeProcess node(on("unix://" + folder.file("nobody")));
  } catch (const std::runtime_error& error) {
    log = error.what();
  }
  CHECK(log.find("container.runtime: docker needs an engine") != std::string::npos);
}

TEST_CASE("beside sandboxes an engine serves custom images, and may be away", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  const std::string image = engine.tiny_image();
  TemporaryFolder folder;
  const std::string path = folder.file("later");
  NodeProcess node({{{"container.docker.host", "unix://" + path}}, {}});
  node.create_python("hello", "def handler(params, context):\n    return 'sandbox'\n");
  CHECK(text_member(invoke(node, "hello"), "Result") == "\"sandbox\"");
  CHECK(create_custom(node, "tiny", image).body.find("cannot be reached") != std::string::npos);
  std::filesystem::create_symlink(engine.socket(), path);
  CHECK(create_custom(node, "tiny", image).status == 200);
  CHECK(invoke(node, "tiny").body.find(R"("Success":true)") != std::string::npos);
  CHECK(text_member(invoke(node, "hello"), "Result") == "\"sandbox\"");
}

TEST_CASE("an engine that restarts or hangs fails calls clearly, and all works again after it", "[docker]") {
  OwnDockerEngine own;
  const std::string image = own.engine().tiny_image();
  EngineProxy proxy(own.engine().socket());
  NodeProcess node(on(proxy.host(), {{"container.start.timeout", "3"}}));
  REQUIRE(create_custom(node, "tiny", image, R"(,"CPUDemand":1)").status == 200);
  REQUIRE(eventually([&] { return invoke(node, "tiny").status == 200; }));  // however slow this machine is

  auto running = std::async(std::launch::async, [&] { return invoke(node, "tiny", R"({"sleep":600})"); });
  CHECK(eventually([&] { return member(node.get("/status"), "UsedCPU") != "0"; }));
  own.stop();  // an engine that ends takes its containers along
  CHECK(running.get().status == 500);
  const HttpResponse away = invoke(node, "tiny");
  CHECK(away.status == 500);
  CHECK(away.body.find("container engine") != std::string::npos);
  CHECK(nothing_held(node));
  own.start();
  CHECK(eventually([&] { return invoke(node, "tiny").status == 200; }));

  // Cold starts need the engine, warm calls do not.
  CHECK(invoke(node, "tiny").status == 200);
  proxy.hang(true);
  CHECK(invoke(node, "tiny").status == 200);
  REQUIRE(node.post("/create",
                    R"({"Name":"other","Runtime":"custom","MemoryMB":64,"CustomImage":")" + image + "\"}")
              .status == 500);
  CHECK(invoke(node, "tiny", R"({"exit":1})").status == 500);
  const HttpResponse hung = invoke(node, "tiny");
  CHECK(hung.status == 500);
  INFO(hung.body);
  CHECK(hung.body.find("does not answer") != std::string::npos);
  CHECK(nothing_held(node));
  proxy.hang(false);
  CHECK(eventually([&] { return invoke(node, "tiny").status == 200; }));
  CHECK(eventually([&] { return own.engine().containers(label_of(node)).size() == 1; }));
  CHECK(node.stop() == 0);
  CHECK(own.engine().containers(label_of(node)).empty());
}

TEST_CASE("an engine that is killed fails starts clearly, and all works in its next life", "[docker]") {
  OwnDockerEngine own({.tcp = true});
  const std::string image = own.engine().tiny_image();
  NodeProcess node(on(own.tcp_host(), {{"container.start.timeout", "10"}}));
  REQUIRE(create_custom(node, "tiny", image, R"(,"CPUDemand":1)").status == 200);
  REQUIRE(eventually([&] { return invoke(node, "tiny").status == 200; }));
  own.kill();  // its containers live on
  CHECK(invoke(node, "tiny").status == 200);
  CHECK(invoke(node, "tiny", R"({"exit":3})").status == 500);
  const HttpResponse away = invoke(node, "tiny");
  CHECK(away.status == 500);
  CHECK(away.body.find("cannot be reached") != std::string::npos);
  CHECK(nothing_held(node));
  own.start();
  CHECK(eventually([&] { return invoke(node, "tiny").status == 200; }));
  CHECK(eventually([&] { return own.engine().containers(label_of(node)).size() == 1; }));

  // And once with a call inside a container that the next life ends.
  auto running = std::async(std::launch::async, [&] { return invoke(node, "tiny", R"({"sleep":600})"); });
  CHECK(eventually([&] { return member(node.get("/status"), "UsedCPU") != "0"; }));
  own.kill();
  own.start();
  CHECK(running.get().status == 500);
  CHECK(nothing_held(node));
  CHECK(eventually([&] { return invoke(node, "tiny").status == 200; }));
  CHECK(eventually([&] { return own.engine().containers(label_of(node)).size() == 1; }));
  CHECK(node.stop() == 0);
  CHECK(own.engine().containers(label_of(node)).empty());
}

}  // namespace
}  // namespace serverledge::test
