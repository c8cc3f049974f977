// The Docker runtime on a real engine, with containers of a tiny static executor.
#include <catch2/catch.hpp>
#include <future>
#include <string>
#include <vector>

#include "runtime/docker_under_test.hpp"
#include "runtime/tar_builder.hpp"
#include "serverledge/core/json.hpp"
#include "serverledge/net/base64.hpp"
#include "support/answers.hpp"

namespace serverledge::test {
namespace {

std::string text_at(const HttpResponse& response, std::initializer_list<std::string_view> path) {
  const JsonDocument document = JsonDocument::parse(response.body).value();
  JsonValue value = document.root();
  for (const std::string_view name : path) value = value.find(name).value();
  return std::string(value.raw());
}

/// The engine's record of the one container that the runtime has.
HttpResponse record(const DockerEngine& engine, const DockerUnderTest& under_test) {
  const std::vector<std::string> ids = engine.containers(under_test.label());
  REQUIRE(ids.size() == 1);
  return engine.request("GET", "/containers/" + ids[0] + "/json");
}

/// A call that sleeps in a container of two slots, and that is in there.
std::future<Reply> begin_long_call(Container& container) {
  auto reply =
      std::async(std::launch::async, [&container] { return call(container, R"({"sleep":600})", 120); });
  REQUIRE_FALSE(call(container, R"({"await":1})", 60, false, 1).failure);
  return reply;
}

TEST_CASE("a custom image answers cold and warm, and nothing is left of it", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  DockerUnderTest under_test(engine.host());
  const Function function = DockerUnderTest::custom(engine.tiny_image());
  auto container = start(under_test, function);
  check_echoes(*container);
  CHECK(engine.containers(under_test.label()).size() == 1);
  container->destroy();
  CHECK_FALSE(container->alive());
  CHECK(under_test.leaves_nothing(engine));
  const std::string network = under_test.network();
  CHECK(engine.request("GET", network, {}, false).status == 200);
  under_test.stop();
  CHECK(engine.request("GET", network, {}, false).status == 404);
}

TEST_CASE("nothing is asked of the engine over 100 warm calls", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  EngineProxy proxy(engine.socket());
  DockerUnderTest under_test(proxy.host());
  auto container = start(under_test, DockerUnderTest::custom(engine.tiny_image()));
  CHECK(proxy.requests() > 0);
  const int before = proxy.requests();
  for (int n = 0; n < 100; ++n) {
    REQUIRE_FALSE(call(*container).failure);
    REQUIRE(container->alive());
  }
  under_test.runtime().watch();
  CHECK(proxy.requests() == before);
}

TEST_CASE("a container has the limits of its function and no right that it does not need", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  DockerUnderTest under_test(engine.host());
  Function function = DockerUnderTest::custom(engine.tiny_image());
  function.cpu_demand = 0.5;
  auto container = start(under_test, function);
  const HttpResponse made = record(engine, under_test);
  CHECK(text_at(made, {"HostConfig", "Memory"}) == std::to_string(64 << 20));
  CHECK(text_at(made, {"HostConfig", "MemorySwap"}) == std::to_string(64 << 20));
  CHECK(text_at(made, {"HostConfig", "CpuQuota"}) == "25000");
  CHECK(text_at(made, {"HostConfig", "CpuPeriod"}) == "50000");
  CHECK(text_at(made, {"HostConfig", "PidsLimit"}) == "257");
  CHECK(text_at(made, {"HostConfig", "ReadonlyRootfs"}) == "true");
  CHECK(text_at(made, {"HostConfig", "CapDrop"}) == R"(["ALL"])");
  CHECK(text_at(made, {"HostConfig", "SecurityOpt"}) == R"(["no-new-privileges"])");
  CHECK(text_at(made, {"HostConfig", "Privileged"}) == "false");
  CHECK(text_at(made, {"HostConfig", "Tmpfs", "/tmp"}).find("size=67108864") != std::string::npos);
  CHECK(text_at(made, {"Config", "User"}) == "\"65534:65534\"");
  CHECK(text_at(made, {"Config", "Labels", "serverledge.function"}) == "\"main\"");
  const HttpResponse network = engine.request("GET", under_test.network());
  CHECK(network.body.find(R"("com.docker.network.bridge.enable_icc":"false")") != std::string::npos);
  CHECK(text_at(network, {"Internal"}) == "false");
  const JsonDocument document = JsonDocument::parse(made.body).value();
  const JsonValue networks = document.root().find("NetworkSettings")->find("Networks").value();
  CHECK(under_test.networks().contains(networks.at(0).find("IPAddress")->as_string().value()));
}

TEST_CASE("what is relaxed by configuration is relaxed, and told", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  DockerUnderTest under_test(engine.host(), {.adjust = [](DockerOptions& options) {
                               options.user.clear();
                               options.capabilities = {"NET_BIND_SERVICE"};
                               options.new_privileges = true;
                               options.writable_root = true;
                               options.network = "internal";
                               options.init = false;
                             }});
  auto container = start(under_test, DockerUnderTest::custom(engine.tiny_image()));
  REQUIRE_FALSE(call(*container).failure);
  const HttpResponse made = record(engine, under_test);
  CHECK(text_at(made, {"HostConfig", "CapAdd"}) == R"(["NET_BIND_SERVICE"])");
  CHECK(text_at(made, {"HostConfig", "ReadonlyRootfs"}) == "false");
  CHECK(text_at(made, {"HostConfig", "SecurityOpt"}) != R"(["no-new-privileges"])");
  CHECK(text_at(made, {"Config", "User"}) == "\"\"");
  const HttpResponse network = engine.request("GET", under_test.network());
  CHECK(text_at(network, {"Internal"}) == "true");
  REQUIRE(under_test.runtime().notices().size() == 1);
}

TEST_CASE("options that make no sense are refused by their keys", "[docker]") {
  TemporaryFolder folder;
  Result<NodeLock> lock = NodeLock::acquire(folder.file("store"), folder.file("run"));
  REQUIRE(lock);
  const auto archive = make_code_archive({.folder = folder.file("code")}, system_clock());
  REQUIRE(archive);
  SourceCode codes;
  Observer observer;
  AddressRanges networks;
  const auto refusal = [&](const DockerOptions& options) {
    auto runtime = make_docker_runtime(options, *lock, **archive, codes, observer, system_clock(), networks);
    REQUIRE_FALSE(runtime);
    CHECK(runtime.error().code == ErrorCode::kInvalid);
    return runtime.error().message;
  };
  CHECK(refusal({.network = "none"}).starts_with("container.docker.network: "));
  CHECK(refusal({.network = "host"}).starts_with("container.docker.network: "));
  CHECK(refusal({.user = "root"}).starts_with("container.docker.user: "));
  CHECK(refusal({.host = "ssh://somewhere"}).starts_with("container.docker.host: "));
  CHECK(refusal({.images = {{"cobol", "image"}}}).starts_with("container.docker.image.cobol: "));
  CHECK(refusal({.images = {{"go125", "../x"}}}).starts_with("container.docker.image.go125: "));
}

TEST_CASE("an engine that is not there is told as such, and used once it is", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  const std::string image = engine.tiny_image();
  TemporaryFolder folder;
  const std::string path = folder.file("later");
  DockerUnderTest under_test("unix://" + path);
  const Function function = DockerUnderTest::custom(image);
  const auto none = under_test.runtime().create(function, within(30));
  REQUIRE_FALSE(none);
  CHECK(none.error().code == ErrorCode::kUnavailable);
  CHECK(none.error().message.find("cannot be reached") != std::string::npos);
  std::filesystem::create_symlink(engine.socket(), path);
  auto container = start(under_test, function);
  CHECK_FALSE(call(*container).failure);
}

TEST_CASE("an image that is nowhere is told as such within the deadline", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  DockerUnderTest under_test(engine.host());
  // A registry on a port that nobody listens on: refused at once.
  const Function function = DockerUnderTest::custom("127.0.0.1:1/nothing/there:1");
  const auto none = under_test.runtime().create(function, within(60));
  REQUIRE_FALSE(none);
  CHECK(none.error().code == ErrorCode::kUnavailable);
  CHECK(none.error().message.find("127.0.0.1:1/nothing/there:1 cannot be pulled") != std::string::npos);
  CHECK(none.error().message.find("refused") != std::string::npos);
  CHECK_FALSE(under_test.runtime().architectures(function));
  CHECK(under_test.leaves_nothing(engine));
}

TEST_CASE("a local image needs no registry, also where images are to be refreshed", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  const std::string image = "127.0.0.1:1/local/tiny";
  engine.request("POST", "/images/" + engine.tiny_image() + "/tag?repo=127.0.0.1:1/local/tiny&tag=latest");
  DockerUnderTest under_test(engine.host(),
                             {.adjust = [](DockerOptions& options) { options.refresh_images = true; }});
  const Function function = DockerUnderTest::custom(image);
  CHECK(under_test.runtime().architectures(function).value().size() == 1);
  auto container = start(under_test, function);
  CHECK_FALSE(call(*container).failure);
  CHECK(under_test.log().find("could not be refreshed") != std::string::npos);
  CHECK(under_test.runtime().prepare(function, false, within(30)));
  // Asked for explicitly, it is an error.
  CHECK_FALSE(under_test.runtime().prepare(function, true, within(60)));
}

TEST_CASE("a container that is killed or removed behind our back fails its call and is known to be dead",
          "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  DockerUnderTest under_test(engine.host());
  Function function = DockerUnderTest::custom(engine.tiny_image());
  function.max_concurrency = 2;
  const bool removed = GENERATE(false, true);
  auto idle = start(under_test, function);
  const std::string id = engine.containers(under_test.label()).at(0);
  const auto end = [&](const std::string& container) {
    if (removed) {
      engine.request("DELETE", "/containers/" + container + "?force=1");
    } else {
      engine.request("POST", "/containers/" + container + "/kill");
    }
  };
  end(id);
  CHECK(eventually([&] { return !idle->alive(); }));
  const Reply late = call(*idle);
  REQUIRE(late.failure);
  CHECK(late.doomed);
  idle->destroy();
  CHECK(under_test.leaves_nothing(engine));

  auto busy = start(under_test, function);
  auto reply = begin_long_call(*busy);
  end(engine.containers(under_test.label()).at(0));
  const Reply ended = reply.get();
  REQUIRE(ended.failure);
  INFO(ended.failure->message);
  CHECK(ended.failure->kind == FailureKind::kCrashed);
  CHECK((ended.failure->message.find("killed") != std::string::npos));
  CHECK(ended.doomed);
  busy->destroy();
  auto next = start(under_test, function);
  CHECK_FALSE(call(*next).failure);
}

TEST_CASE("the network is made anew when it is removed behind our back", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  DockerUnderTest under_test(engine.host());
  const Function function = DockerUnderTest::custom(engine.tiny_image());
  start(under_test, function)->destroy();
  engine.request("DELETE", under_test.network());
  auto container = start(under_test, function);
  CHECK_FALSE(call(*container).failure);
}

TEST_CASE("an executor that ends or never listens is told with what it wrote", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  DockerUnderTest under_test(engine.host());
  const std::string name = "serverledge-test-broken";
  const auto made =
      engine.request("POST", "/containers/create", R"({"Image":")" + engine.tiny_image() + "\"}");
  const std::string id = text_at(made, {"Id"});
  const std::string bare = id.substr(1, id.size() - 2);
  engine.request("POST", "/commit?container=" + bare + "&repo=" + name, R"({"Entrypoint":["/missing"]})");
  engine.request("DELETE", "/containers/" + bare);
  const auto none = under_test.runtime().create(DockerUnderTest::custom(name), within(30));
  REQUIRE_FALSE(none);
  INFO(none.error().message);
  CHECK((none.error().message + none.error().detail).find("/missing") != std::string::npos);
  CHECK(under_test.leaves_nothing(engine));
}

/// Where a container has its /app from, as the engine's record says it.
std::string code_mount(const HttpResponse& record) {
  const JsonDocument document = JsonDocument::parse(record.body).value();
  const JsonValue mounts = document.root().find("Mounts").value();
  for (std::size_t i = 0; i < mounts.size(); ++i) {
    if (mounts.at(i).find("Destination")->as_string() == "/app")
      return std::string(mounts.at(i).find("Type")->as_string().value()) + " " +
             std::string(mounts.at(i).find("Name")->as_string().value());
  }
  return "none";
}

TEST_CASE("an engine reached by TCP gets code through its interface, into a volume", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  require_image(engine, "serverledge-python310");
  require_image(engine, "serverledge-nodejs17");
  const EngineProxy proxy(engine.socket(), true);
  REQUIRE(proxy.host().starts_with("tcp://127.0.0.1:"));
  DockerUnderTest under_test(proxy.host());
  auto container = start(under_test, under_test.python("def handler(params, context):\n"
                                                       "    if 'write' in params:\n"
                                                       "        open('/app/more', 'w')\n"
                                                       "    return params\n"));
  CHECK(call(*container, R"({"n": 1})").result == R"({"n":1})");
  CHECK(call(*container, R"({"write": 1})").failure->message.starts_with("PermissionError"));
  const std::string mount = code_mount(record(engine, under_test));
  REQUIRE(mount.starts_with("volume "));
  const std::string volume = "/volumes/" + mount.substr(7);
  CHECK(engine.request("GET", volume, {}, false).status == 200);
  container->destroy();
  CHECK(under_test.leaves_nothing(engine));
  CHECK(engine.request("GET", volume, {}, false).status == 404);
  auto script = start(under_test, under_test.nodejs("module.exports = (params) => params.n;\n"));
  CHECK(call(*script, R"({"n": 2})").result == "2");
}

void build_image(const DockerEngine& engine, const std::string& name, TarBuilder& context) {
  const HttpResponse built =
      engine.request("POST", "/build?t=" + name, context.bytes(), true, "application/x-tar");
  if (built.body.find("Successfully tagged") == std::string::npos) FAIL(built.body);
}

/// The image for Python as one whose executor speaks no frames.
std::string http_image(const DockerEngine& engine) {
  TarBuilder context;
  context.file("Dockerfile", "FROM serverledge-python310\nLABEL serverledge.executor=2\n");
  const std::string name = "serverledge-test-http";
  build_image(engine, name, context);
  return name;
}

std::string http_answer(const std::string& body, const std::string& headers = "") {
  return "b'HTTP/1.1 200 OK\\r\\nContent-Length: " + std::to_string(body.size()) + "\\r\\n" + headers +
         "\\r\\n" + body + "'";
}

TEST_CASE("an executor is called by HTTP where it speaks no frames, and believed no more there", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  require_image(engine, "serverledge-python310");
  const std::string image = http_image(engine);
  DockerUnderTest under_test(
      engine.host(), {.adjust = [&](DockerOptions& options) { options.images["python314"] = image; }});
  const auto started = [&](const std::string& code) { return start(under_test, under_test.python(code)); };
  const auto of_channel = [&](const std::string& code) {
    return started(std::string(kSocketCode) + "import time\ndef handler(params, context):\n    " + code +
                   "\n");
  };

  auto container = started(
      "n = 0\n"
      "def handler(params, context):\n"
      "    global n\n"
      "    n += 1\n"
      "    print('said')\n"
      "    return [n, params['x'], context['RequestId'][:5], context['MemoryMB']]\n");
  const Reply first = call(*container, R"({"x": "y"})", 60, true);
  CHECK(first.result == R"([1,"y","main-",128])");
  CHECK(first.output == "said\n");
  CHECK(call(*container, R"({"x": 2})").result == R"([2,2,"main-",128])");
  const Reply failed = call(*container);
  REQUIRE(failed.failure);
  CHECK(failed.failure->message == "KeyError: 'x'");
  CHECK_FALSE(failed.doomed);

  const std::string forged = R"({"Success":true,"Result":"666","Output":""})";
  for (const std::string& garbage :
       {std::string("b'\\xff' + os.urandom(100)"), std::string("bytes(16)"),
        std::string("b'HTTP/1.1 200 OK\\r\\nContent-Length: many\\r\\n\\r\\n'"),
        std::string("b'HTTP/1.1 99 Low\\r\\n\\r\\n'"), std::string(kForgedAnswer), http_answer("[]"),
        http_answer("{}"), http_answer(R"({"Success":true,"Result":"{nonsense"})"), http_answer(forged),
        http_answer(forged, "Serverledge-Call: 0123456789abcdef\\r\\n")}) {
    CAPTURE(garbage);
    const Reply reply = call(*of_channel("call = 1; tell(" + garbage + "); time.sleep(1000)"));
    REQUIRE(reply.failure);
    CHECK(reply.failure->kind == FailureKind::kProtocol);
    CHECK(reply.failure->message.find("no answer") != std::string::npos);
    CHECK(reply.doomed);
  }
  const Reply closed = call(*of_channel("[os.close(fd) for fd in sockets()]; time.sleep(1000)"));
  REQUIRE(closed.failure);
  CHECK(closed.failure->message == "the function closed its channel to the node");

  const Function broken = under_test.python("import nothing_of_that_name\n");
  const auto none = under_test.runtime().create(broken, later(system_clock().now(), from_seconds(60)));
  REQUIRE_FALSE(none);
  CHECK(none.error().message == "ModuleNotFoundError: No module named 'nothing_of_that_name'");
}

/// The image of an executor that does with a call's code what that of the Go image does.
std::string unzipping_image(const DockerEngine& engine) {
  TarBuilder context;
  context.file("Dockerfile",
               "FROM serverledge-python310\n"
               "COPY executor.py /\n"
               "LABEL serverledge.executor=\"\"\n"
               "ENTRYPOINT [\"/usr/bin/python3\", \"/executor.py\"]\n");
  context.file("executor.py",
               "import glob, http.server, json, os, zipfile\n"
               "class Executor(http.server.BaseHTTPRequestHandler):\n"
               "    def do_POST(self):\n"
               "        call = json.loads(self.rfile.read(int(self.headers['Content-Length'])))\n"
               "        for name in glob.glob(call['HandlerDir'] + '/*.zip'):\n"
               "            zipfile.ZipFile(name).extractall(call['HandlerDir'])\n"
               "            os.remove(name)\n"
               "        with open(call['HandlerDir'] + '/' + call['Handler']) as file:\n"
               "            result = json.dumps([call['Command'], file.read()])\n"
               "        answer = json.dumps({'Success': True, 'Result': result, 'Output': ''}).encode()\n"
               "        self.send_response(200)\n"
               "        self.send_header('Content-Length', str(len(answer)))\n"
               "        self.end_headers()\n"
               "        self.wfile.write(answer)\n"
               "http.server.ThreadingHTTPServer(('', 8080), Executor).serve_forever()\n");
  const std::string name = "serverledge-test-unzipping";
  build_image(engine, name, context);
  return name;
}

TEST_CASE("Go's executor unpacks code into a writable /app, which goes with its container", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  require_image(engine, "serverledge-python310");
  const std::string image = unzipping_image(engine);
  DockerUnderTest under_test(engine.host(),
                             {.adjust = [&](DockerOptions& options) { options.images["go125"] = image; }});
  // A zip with the file "greeting", that says "hello".
  const std::string zip =
      base64_decode(
          "UEsDBBQAAAAAAAAAIQCGphA2BQAAAAUAAAAIAAAAZ3JlZXRpbmdoZWxsb1BLAQIUAxQAAAAAAAAAIQCGphA2BQAAAAUAAAAI"
          "AAAAAAAAAAAAAACAAQAAAABncmVldGluZ1BLBQYAAAAAAQABADYAAAArAAAAAAA=")
          .value();
  auto container = start(under_test, under_test.go(tar_of("code.zip", zip), "greeting"));
  for (int n = 0; n < 2; ++n) {
    const Reply reply = call(*container);
    INFO((reply.failure ? reply.failure->message : ""));
    CHECK(reply.result == R"([["/entrypoint.sh"], "hello"])");
  }
  CHECK(code_mount(record(engine, under_test)).starts_with("volume "));
  container->destroy();
  CHECK(under_test.leaves_nothing(engine));
}

TEST_CASE("leftovers of this node and of dead ones go at the start, those of living ones stay", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  TemporaryFolder folder;
  const std::string run = folder.file("run");
  const Function function = DockerUnderTest::custom(engine.tiny_image());
  DockerUnderTest living(engine.host(), {.store = folder.file("living"), .run_root = run});
  auto kept = start(living, function);
  // What a node that was killed leaves: labelled containers, and a lock that nobody holds.
  const auto leave = [&](const std::string& node) {
    DockerUnderTest dying(engine.host(), {.store = folder.file(node), .run_root = run});
    auto container = start(dying, function);
    const std::string labels = text_at(record(engine, dying), {"Config", "Labels"});
    container->destroy();
    dying.stop();
    engine.request("POST", "/containers/create",
                   R"({"Image":")" + engine.tiny_image() + R"(","Labels":)" + labels + "}");
    return labels.substr(labels.find(R"("serverledge.node":")") + 20, 16);
  };
  const auto left = [&](const std::string& node) {
    return engine.containers("serverledge.node%3D" + node).size();
  };
  const std::string other = leave("other");
  CHECK(left(other) == 1);
  const std::string own = leave("own");  // its start, too, has removed the other's
  CHECK(left(other) == 0);
  CHECK(left(own) == 1);
  DockerUnderTest next(engine.host(), {.store = folder.file("own"), .run_root = run});
  CHECK(next.lock().id() == own);
  CHECK(left(own) == 0);
  CHECK(engine.containers(living.label()).size() == 1);
  CHECK_FALSE(call(*kept).failure);
}

TEST_CASE("shutting down ends the calls inside and leaves nothing", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  DockerUnderTest under_test(engine.host());
  Function function = DockerUnderTest::custom(engine.tiny_image());
  function.max_concurrency = 2;
  auto first = start(under_test, function);
  auto second = start(under_test, function);
  auto reply = begin_long_call(*first);
  under_test.runtime().shutdown();
  CHECK(reply.get().failure->message == "the container was shut down");
  CHECK(under_test.leaves_nothing(engine));
  CHECK(under_test.runtime().create(function, within(5)).error().code == ErrorCode::kCancelled);
}

}  // namespace
}  // namespace serverledge::test
