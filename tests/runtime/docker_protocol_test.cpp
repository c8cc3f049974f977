// What the Docker runtime says and reads, without an engine.
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "runtime/archive_reader.hpp"
#include "runtime/docker/credential_helper.hpp"
#include "runtime/docker/engine_address.hpp"
#include "runtime/docker/executor_protocol.hpp"
#include "runtime/docker/folder_tar.hpp"
#include "runtime/docker/frame_upgrade.hpp"
#include "runtime/docker/image_store.hpp"
#include "runtime/docker/registry_credentials.hpp"
#include "runtime/web_server.hpp"
#include "serverledge/net/base64.hpp"
#include "support/eventually.hpp"
#include "support/helper_programs.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {
namespace {

constexpr FrameLimits kLimits{1000, 100};

Function of_runtime(const std::string& runtime) {
  Function function;
  function.name = "f";
  function.runtime = runtime;
  function.memory_mb = 128;
  function.handler = "hello.handler";
  return function;
}

std::string auth_text(const std::string& folder, std::string_view image) {
  const Result<std::string> header = registry_auth(folder, image, TimePoint::max(), system_clock());
  if (!header) return "error: " + header.error().message;
  std::string text = *header;
  std::ranges::replace(text, '-', '+');
  std::ranges::replace(text, '_', '/');
  return base64_decode(text).value();
}

/// What the registry of an image is shown with that configuration.
std::string auth_by(const HelperPrograms& programs, std::string_view config, std::string_view image) {
  std::ofstream(programs.file("config.json")) << config;
  return auth_text(programs.folder(), image);
}

bool is_dead(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  std::getline(file, line);
  return line.empty() || line.find(") Z ") != std::string::npos;
}

Reply read(const std::string& body, int status = 200, const std::string& runtime = "python314") {
  HttpResponse response;
  response.status = status;
  response.body = body;
  return executor_reply(response, ExecutorTask(of_runtime(runtime)), kLimits);
}

TEST_CASE("an engine's address is a socket or a host and port", "[docker]") {
  CHECK(engine_address("unix:///var/run/docker.sock")->target.unix_path == "/var/run/docker.sock");
  CHECK(engine_address("tcp://192.0.2.1:2375")->target.name() == "192.0.2.1:2375");
  CHECK(engine_address("tcp://[::1]:1")->target.name() == "[::1]:1");
  CHECK(engine_address("http://engine/")->target.name() == "engine:2375");
  CHECK_FALSE(engine_address("tcp://engine")->tls);
  for (const char* text : {"", "/var/run/docker.sock", "unix://relative", "tcp://", "tcp://host:0",
                           "tcp://host:x", "ssh://host", "https://host:2376", "tcp://host:99999"}) {
    CHECK_FALSE(engine_address(text));
  }
}

TEST_CASE("an engine's address with a folder of certificates is one of TLS", "[docker]") {
  const auto address = engine_address("tcp://engine", "/certificates");
  REQUIRE(address);
  CHECK(address->target.name() == "engine:2376");
  REQUIRE(address->tls);
  CHECK(address->tls->ca_file == "/certificates/ca.pem");
  CHECK(address->tls->certificate_file == "/certificates/cert.pem");
  CHECK(address->tls->key_file == "/certificates/key.pem");
  CHECK(engine_address("https://engine:1", "/certificates")->tls);
  CHECK_FALSE(engine_address("http://engine:1", "/certificates"));
  CHECK_FALSE(engine_address("unix:///var/run/docker.sock", "/certificates")->tls);
}

TEST_CASE("an image's name leads to its registry", "[docker]") {
  CHECK(registry_of("alpine") == "docker.io");
  CHECK(registry_of("grussorusso/serverledge-go125:1") == "docker.io");
  CHECK(registry_of("docker.io/library/alpine") == "docker.io");
  CHECK(registry_of("index.docker.io/library/alpine") == "docker.io");
  CHECK(registry_of("localhost/x") == "localhost");
  CHECK(registry_of("registry.example.org/a/b@sha256:00") == "registry.example.org");
  CHECK(registry_of("127.0.0.1:5000/x:1") == "127.0.0.1:5000");
}

TEST_CASE("credentials are those of the image's registry, in whatever form docker login left them",
          "[docker]") {
  const TemporaryFolder folder;
  const auto auth = [&](const std::string& config, std::string_view image) -> std::string {
    std::ofstream(folder.file("config.json")) << config;
    return auth_text(folder.path(), image);
  };
  CHECK(auth_text("", "x").empty());
  CHECK(auth_text(folder.file("nowhere"), "x").empty());
  const std::string config =
      R"({"auths":{"https://index.docker.io/v1/":{"auth":"dXNlcjpwYTpzcw=="},"r.example:5000":{"username":"a","password":"b\"c"},)"
      R"("https://t.example/v2/":{"identitytoken":"tok"},"empty.example":{},"bad.example":{"auth":"!"}}})";
  CHECK(auth(config, "alpine") ==
        R"({"username":"user","password":"pa:ss","serveraddress":"https://index.docker.io/v1/"})");
  CHECK(auth(config, "r.example:5000/x:1") ==
        R"({"username":"a","password":"b\"c","serveraddress":"r.example:5000"})");
  CHECK(auth(config, "t.example/x") == R"({"identitytoken":"tok","serveraddress":"t.example"})");
  CHECK(auth(config, "empty.example/x").empty());
  CHECK(auth(config, "other.example/x").empty());
  CHECK(auth(config, "r.example/x").empty());
  CHECK(auth(config, "bad.example/x").find("config.json cannot be used: an auth is not") !=
        std::string::npos);
  for (const char* odd : {"", "[]", "{\"auths\":", "\xff"})
    CHECK(auth(odd, "x").starts_with("error: the credentials in "));
  for (const char* none :
       {"{}", R"({"auths":[]})", R"({"auths":{"docker.io":7}})", R"({"credsStore":7,"credHelpers":[]})"})
    CHECK(auth(none, "x").empty());
}

TEST_CASE("a credential helper is asked for its registry's credentials", "[docker]") {
  const HelperPrograms programs;
  programs.add("store", R"(read -r server; [ "$1" = get ] || exit 9
case $server in
  https://index.docker.io/v1/) echo '{"ServerURL":"x","Username":"hub","Secret":"s\"1"}' ;;
  token.example) echo '{"Username":"<token>","Secret":"tok"}' ;;
  *) echo 'credentials not found in native keychain'; exit 1 ;;
esac)");
  programs.add("own", R"sh(printf '{"Username":"%s","Secret":"%s"}' own "$(cat)")sh");
  const std::string config =
      R"({"credsStore":"store","credHelpers":{"own.example:5000":"own"},"auths":{"file.example":{"username":"f","password":"p"}}})";
  CHECK(auth_by(programs, config, "alpine") ==
        R"({"username":"hub","password":"s\"1","serveraddress":"https://index.docker.io/v1/"})");
  CHECK(auth_by(programs, config, "token.example/x") ==
        R"({"identitytoken":"tok","serveraddress":"token.example"})");
  CHECK(auth_by(programs, config, "own.example:5000/x") ==
        R"({"username":"own","password":"own.example:5000","serveraddress":"own.example:5000"})");
  // What it does not know may stand in the file, as before there was a helper.
  CHECK(auth_by(programs, config, "file.example/x") ==
        R"({"username":"f","password":"p","serveraddress":"file.example"})");
  CHECK(auth_by(programs, config, "other.example/x").empty());
}

TEST_CASE("a credential helper that misbehaves costs neither memory nor time, and is named", "[docker]") {
  const HelperPrograms programs;
  programs.add("fails", "echo 'the keychain is locked'; exit 3");
  programs.add("talks", "exec cat /dev/zero");
  programs.add("lies", "echo yes");
  programs.add("empty", "echo '{}'");
  programs.add("dies", "kill -9 $$");
  // A child that it leaves behind and that keeps its output open is not waited for.
  programs.add("daemon", R"(sleep 600 & echo '{"Username":"u","Secret":"'$!'"}')");
  const auto said = [&](const char* name, const char* more = "") {
    return auth_by(programs, fmt::format(R"({{"credsStore":"{}"{}}})", name, more), "r.example/x");
  };
  CHECK(said("fails") ==
        "error: the credentials for r.example cannot be had: docker-credential-fails: it failed: the "
        "keychain is locked");
  CHECK(said("talks").find("docker-credential-talks: it says too much") != std::string::npos);
  CHECK(said("lies").find("no JSON object") != std::string::npos);
  CHECK(said("dies").find("it failed") != std::string::npos);
  CHECK(said("missing").find("docker-credential-missing: No such file") != std::string::npos);
  CHECK(said("../store").find("is odd") != std::string::npos);
  CHECK(said("empty").empty());
  CHECK(said("missing", R"(,"auths":{"r.example":{"username":"f","password":"p"}})").find(R"("f")") !=
        std::string::npos);
  const std::string with_child = said("daemon");
  REQUIRE(with_child.starts_with(R"({"username":"u","password":")"));
  CHECK(::kill(std::stoi(with_child.substr(28)), SIGKILL) == 0);
}

TEST_CASE("a credential helper that hangs is ended with all that it has started", "[docker]") {
  const HelperPrograms programs;
  programs.add("hangs", fmt::format("sleep 600 & echo $! >{}; wait", programs.file("child")));
  const auto asked = ask_credential_helper(
      "hangs", "r.example", later(system_clock().now(), std::chrono::milliseconds(500)), system_clock());
  REQUIRE_FALSE(asked);
  CHECK(asked.error().code == ErrorCode::kDeadline);
  pid_t child = 0;
  std::ifstream(programs.file("child")) >> child;
  // On a machine so slow that it had not come that far there is none.
  if (child > 0) CHECK(eventually([&] { return is_dead(child); }));
}

TEST_CASE("a call has all five keys of the contract, whatever the runtime", "[docker]") {
  Call call;
  call.id = "f-1";
  call.params = R"({"a":2})";
  call.return_output = true;
  const auto text = [&](const char* runtime) {
    return executor_call(ExecutorTask(of_runtime(runtime)), call, TimePoint{});
  };
  CHECK(
      text("python314")
          .starts_with(
              R"({"Command":["python","/entrypoint.py"],"Params":{"a":2},"Handler":"hello.handler","HandlerDir":"/app","ReturnOutput":true)"));
  CHECK(text("nodejs17ng").starts_with(R"({"Command":[],"Params":{"a":2},"Handler":"hello.handler")"));
  CHECK(text("go125").starts_with(R"({"Command":["/entrypoint.sh"],)"));
  CHECK(text("custom").starts_with(
      R"({"Command":null,"Params":{"a":2},"Handler":"","HandlerDir":"","ReturnOutput":true)"));
  CHECK(JsonDocument::parse(text("custom")));
}

TEST_CASE("answers of the images that there are are understood", "[docker]") {
  const Reply good = read(R"({"Output": "out\n", "Result": "\"Hello\"", "Success": true})");
  CHECK_FALSE(good.failure);
  CHECK(good.result == "\"Hello\"");
  CHECK(good.output == "out\n");
  CHECK(read(R"({"Success":true,"Output":""})").result == "null");
  const Reply raised = read(R"({"Success": false})");
  REQUIRE(raised.failure);
  CHECK(raised.failure->kind == FailureKind::kRaised);
  CHECK_FALSE(raised.doomed);
  const Reply thrown = read(R"({"Success":false,"Output":"Output capture not supported"})", 500);
  REQUIRE(thrown.failure);
  CHECK(thrown.failure->kind == FailureKind::kRaised);
  CHECK_FALSE(thrown.doomed);
  const Reply told = read(
      R"({"Success":false,"Output":"","Error":{"Kind":"raised","Message":"KeyError: 'x'","Traceback":"File"}})");
  REQUIRE(told.failure);
  CHECK(told.failure->message == "KeyError: 'x'");
  CHECK(told.failure->traceback == "File");
  CHECK(read(R"({"Success":true,"Result":"no JSON at all"})", 200, "custom").result == "no JSON at all");
}

TEST_CASE("what is no answer fails the call and dooms the container", "[docker]") {
  for (const char* body :
       {"", "nonsense", "[]", "{}", R"({"Success":1})", R"({"Success":true,"Result":"{nonsense"})",
        "{\"Success\":tru", R"({"Success":false,"Error":{"Kind":"protocol"}})"}) {
    const Reply reply = read(body);
    CAPTURE(body);
    REQUIRE(reply.failure);
    CHECK(reply.failure->kind == FailureKind::kProtocol);
    CHECK(reply.doomed);
  }
}

TEST_CASE("results over the limit fail, output over it is cut, at no half a character", "[docker]") {
  const Reply large = read(R"({"Success":true,"Result":")" + std::string(1001, '1') + "\"}");
  REQUIRE(large.failure);
  CHECK(large.failure->kind == FailureKind::kOutput);
  std::string text;
  for (int i = 0; i < 300; ++i) text += "\xc3\xa9";
  const Reply loud = read(R"({"Success":true,"Result":"1","Output":")" + text + "\"}");
  CHECK_FALSE(loud.failure);
  CHECK(loud.output.find("[output cut at 100 bytes]") != std::string::npos);
  CHECK(loud.output.size() < 300);
  CHECK(is_utf8(loud.output));
}

TEST_CASE("names of images are told from what they must not be", "[docker]") {
  for (const char* good :
       {"alpine", "alpine:3.20", "127.0.0.1:5000/a/b-c_d:1.0", "a/b@sha256:0123456789abcdef"})
    CHECK(is_image_reference(good));
  for (const char* bad : {"", "../containers/json", "/x", "a b", "a?b", "a//b", "a/../b", "a%2f", ".x"})
    CHECK_FALSE(is_image_reference(bad));
  CHECK(whole_reference("alpine") == "alpine:latest");
  CHECK(whole_reference("host:5000/alpine") == "host:5000/alpine:latest");
  CHECK(whole_reference("alpine:1") == "alpine:1");
  CHECK(whole_reference("alpine@sha256:00") == "alpine@sha256:00");
}

TEST_CASE("a pull tells how far it is, and how it failed, in whatever pieces it comes", "[docker]") {
  const std::string stream =
      "{\"status\":\"Pulling from library/x\",\"id\":\"1\"}\n"
      "{\"status\":\"Pulling fs layer\",\"id\":\"a\"}\r\n{\"status\":\"Pulling fs layer\",\"id\":\"b\"}\n"
      "{\"status\":\"Already exists\",\"id\":\"c\"}\nnonsense\n"
      "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":1048576,\"total\":4194304},\"id\":\"a\"}\n"
      "{\"error\":\"unauthorized\",\"errorDetail\":{\"message\":\"unauthorized\"}}\n";
  PullProgress whole;
  whole.take(stream);
  CHECK(whole.text() == "1 of 3 layers, 1.0 of 4.0 MB");
  CHECK(whole.error() == "unauthorized");
  PullProgress pieces;
  for (const char c : stream) pieces.take(std::string(1, c));
  CHECK(pieces.text() == whole.text());
  CHECK(pieces.error() == whole.error());
  PullProgress endless;
  for (int i = 0; i < 100; ++i) endless.take(std::string(100'000, 'x'));
  endless.take("\n");
  CHECK(endless.error().empty());
}

TEST_CASE("a folder of code becomes a tar of the same, links and modes kept", "[docker]") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "lib");
  std::ofstream(folder.path() / "main.py") << "code";
  std::ofstream(folder.path() / "lib" / "f\xc3\xa4.sh") << std::string(100'000, 'x');
  std::filesystem::permissions(folder.path() / "lib" / "f\xc3\xa4.sh", std::filesystem::perms::all);
  std::filesystem::create_symlink("main.py", folder.path() / "link");
  const Result<std::string> tar = tar_of_folder(folder.path().string(), {65534, 65534});
  REQUIRE(tar);
  ArchiveReader reader(*tar);
  int files = 0;
  while (true) {
    const auto entry = reader.next();
    REQUIRE(entry);
    if (!*entry) break;
    const ArchiveEntry& found = **entry;
    if (found.kind == ArchiveEntry::Kind::kSymlink) CHECK(found.target == "main.py");
    if (found.kind != ArchiveEntry::Kind::kFile) continue;
    ++files;
    const bool script = found.path == "lib/f\xc3\xa4.sh";
    CHECK((script || found.path == "main.py"));
    CHECK(found.executable == script);
    CHECK(found.size == (script ? 100'000U : 4U));
  }
  CHECK(files == 2);
}

TEST_CASE("an executor goes over to frames, or is told not to have", "[docker]") {
  const std::string good = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ";
  CHECK(check_upgrade(good + "serverledge-frames\r\n\r\n"));
  CHECK(check_upgrade(good + "Serverledge-Frames\r\nX: y\r\n\r\n"));
  for (const std::string& bad :
       {good + "h2c\r\n\r\n", std::string("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        std::string("HTTP/1.1 404 Not Found\r\nUpgrade: serverledge-frames\r\n\r\n"),
        std::string("HTTP/1.1 101 Switching Protocols\r\nUpgrade serverledge-frames\r\n\r\n"),
        std::string("\xff\r\n\r\n"), std::string("\r\n\r\n"), std::string()}) {
    CAPTURE(bad);
    const Result<void> upgraded = check_upgrade(bad);
    REQUIRE_FALSE(upgraded);
    CHECK(upgraded.error().code == ErrorCode::kInvalid);
  }
}

TEST_CASE("what an executor says after going over is a frame's", "[docker]") {
  const std::string head =
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: serverledge-frames\r\n\r\n";
  const std::string said = R"({"Runtime": "x"})";
  const auto header = encode({static_cast<std::uint32_t>(said.size()), FrameType::kReady, 0, 0});
  const auto upgrade = [](const std::string& answer) {
    WebServer executor([&](const std::string& target) { return target == "/frames" ? answer : ""; });
    const TimePoint deadline = later(system_clock().now(), std::chrono::seconds(30));
    Result<FrameConnection> connection = upgrade_to_frames(HttpTarget::tcp("127.0.0.1", executor.port()),
                                                           kLimits, -1, deadline, system_clock());
    return connection ? connection->ready(deadline) : Unexpected(connection.error());
  };
  const Result<std::string> ready = upgrade(head + std::string(header.data(), header.size()) + said);
  REQUIRE(ready);
  CHECK(*ready == "x");
  for (const std::string& part : {std::string(), head.substr(0, 20), head}) {
    const Result<std::string> none = upgrade(part);
    REQUIRE_FALSE(none);
    CHECK(none.error().code == ErrorCode::kUnavailable);
  }
  const Result<std::string> endless = upgrade("HTTP/1.1 101 " + std::string(10'000, 'x'));
  REQUIRE_FALSE(endless);
  CHECK(endless.error().code == ErrorCode::kInvalid);
}

}  // namespace
}  // namespace serverledge::test
