// What goes wrong around the Docker runtime: slow and broken registries, full disks.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "runtime/docker_under_test.hpp"
#include "serverledge/net/base64.hpp"
#include "support/answers.hpp"
#include "support/command_run.hpp"
#include "support/helper_programs.hpp"
#include "support/image_registry.hpp"

namespace serverledge::test {
namespace {

/// An authority, what it has signed for an engine at 127.0.0.1 and for its client, and the same of a
/// stranger.
const char* const kMakeCertificates = R"(
  authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "/CN=$1" -keyout "$2/ca-key.pem" -out "$2/ca.pem"
  }
  sign() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=test -keyout "$1/$2key.pem" -out "$1/$2.csr"
    printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' >"$1/extensions"
    openssl x509 -req -days 1 -in "$1/$2.csr" -CA "$1/ca.pem" -CAkey "$1/ca-key.pem" -CAcreateserial -extfile "$1/extensions" -out "$1/$2cert.pem"
  }
  mkdir "$1/stranger"
  authority ours "$1"
  authority other "$1/stranger"
  sign "$1" server-
  sign "$1" ""
  sign "$1/stranger" ""
)";

/// Without the image, as at first.
void forget(const DockerEngine& engine, const std::string& reference) {
  engine.request("DELETE", "/images/" + reference + "?force=1", {}, false);
}

TEST_CASE("a slow pull ends the start at its deadline, goes on, and serves the next one", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  ImageRegistry registry;
  DockerUnderTest under_test(engine.host());
  const Function function = DockerUnderTest::custom(registry.reference());
  forget(engine, registry.reference());
  registry.hold();
  const auto slow = under_test.runtime().create(function, within(2));
  REQUIRE_FALSE(slow);
  CHECK(slow.error().code == ErrorCode::kDeadline);
  CHECK(slow.error().message.find("is still being pulled") != std::string::npos);
  registry.gate().open();
  auto container = start(under_test, function);
  CHECK_FALSE(call(*container).failure);
  CHECK(under_test.log().find("an image was pulled image=" + registry.reference()) != std::string::npos);
  container->destroy();
  forget(engine, registry.reference());
}

TEST_CASE("shutting down ends a pull", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  ImageRegistry registry;
  DockerUnderTest under_test(engine.host());
  registry.hold();
  CHECK_FALSE(under_test.runtime().create(DockerUnderTest::custom(registry.reference()), within(2)));
  under_test.stop();
  registry.gate().open();
  forget(engine, registry.reference());
}

TEST_CASE("the registry tells architectures and its errors of an image that is not here", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  ImageRegistry registry;
  DockerUnderTest under_test(engine.host());
  const auto found = under_test.runtime().architectures(DockerUnderTest::custom(registry.reference()));
  REQUIRE(found);
  CHECK(*found == std::vector<std::string>{"amd64"});
  CHECK_FALSE(engine.has_image(registry.reference()));
  std::string other = registry.reference();
  other.back() = '2';
  const auto none = under_test.runtime().create(DockerUnderTest::custom(other), within(60));
  REQUIRE_FALSE(none);
  INFO(none.error().message);
  CHECK(none.error().message.find("manifest unknown to the test") != std::string::npos);
}

TEST_CASE("an image is pulled anew when that is asked for, and once where all are to be refreshed",
          "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  ImageRegistry registry;
  const Function function = DockerUnderTest::custom(registry.reference());
  {
    DockerUnderTest plain(engine.host());
    REQUIRE(plain.runtime().prepare(function, false, within(60)));
    const int asked = registry.asked();
    CHECK(asked > 0);
    REQUIRE(plain.runtime().prepare(function, false, within(60)));
    CHECK(registry.asked() == asked);
    REQUIRE(plain.runtime().prepare(function, true, within(60)));
    CHECK(registry.asked() > asked);
  }
  DockerUnderTest refreshing(engine.host(),
                             {.adjust = [](DockerOptions& options) { options.refresh_images = true; }});
  const int before = registry.asked();
  REQUIRE(refreshing.runtime().prepare(function, false, within(60)));
  const int after = registry.asked();
  CHECK(after > before);
  REQUIRE(refreshing.runtime().prepare(function, false, within(60)));
  CHECK(registry.asked() == after);
  forget(engine, registry.reference());
}

TEST_CASE("a registry that wants a password gets that of Docker's configuration", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  ImageRegistry registry("user:pass:word");
  const Function function = DockerUnderTest::custom(registry.reference());
  forget(engine, registry.reference());
  const TemporaryFolder folder;
  DockerUnderTest under_test(
      engine.host(), {.adjust = [&](DockerOptions& options) { options.config_folder = folder.path(); }});
  const auto refused = under_test.runtime().create(function, within(60));
  REQUIRE_FALSE(refused);
  INFO(refused.error().message);
  CHECK(refused.error().message.find("cannot be pulled") != std::string::npos);
  CHECK_FALSE(under_test.runtime().architectures(function));
  const std::string host = registry.reference().substr(0, registry.reference().find('/'));
  std::ofstream(folder.file("config.json"))
      << R"({"auths":{")" << host << R"(":{"auth":")" << base64_encode("user:pass:word") << "\"}}}";
  CHECK(under_test.runtime().architectures(function).value() == std::vector<std::string>{"amd64"});
  auto container = start(under_test, function);
  CHECK_FALSE(call(*container).failure);
  container->destroy();
  forget(engine, registry.reference());
}

TEST_CASE("a registry that wants a password gets what a credential helper keeps of it", "[docker]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  ImageRegistry registry("user:pass:word");
  const Function function = DockerUnderTest::custom(registry.reference());
  forget(engine, registry.reference());
  const HelperPrograms programs;
  programs.add("test", R"(server=$(cat)
echo "$1 $server" >"${0%/*}/asked"
printf '{"ServerURL":"%s","Username":"user","Secret":"pass:word"}' "$server")");
  const std::string host = registry.reference().substr(0, registry.reference().find('/'));
  std::ofstream(programs.file("config.json")) << R"({"credHelpers":{")" << host << R"(":"test"}})";
  DockerUnderTest under_test(
      engine.host(), {.adjust = [&](DockerOptions& options) { options.config_folder = programs.folder(); }});
  auto container = start(under_test, function);
  CHECK_FALSE(call(*container).failure);
  container->destroy();
  std::ifstream file(programs.file("asked"));
  std::string asked;
  std::getline(file, asked);
  CHECK(asked == "get " + host);
  forget(engine, registry.reference());
}

TEST_CASE("an engine reached by TLS runs functions, and neither trusts strangers nor is trusted as one",
          "[docker]") {
  const TemporaryFolder folder;
  const CommandRun made = run_command({"/bin/sh", "-ec", kMakeCertificates, "sh", folder.path()});
  INFO(made.err);
  REQUIRE(made.exit_code == 0);
  OwnDockerEngine own({.tcp = true, .tls = folder.path()});
  const Function function = DockerUnderTest::custom(own.engine().tiny_image());
  const auto by_tls = [&](const std::string& certificates) {
    return DockerSetup{
        .adjust = [certificates](DockerOptions& options) { options.tls_folder = certificates; }};
  };
  {
    DockerUnderTest under_test(own.tcp_host(), by_tls(folder.path()));
    auto container = start(under_test, function);
    CHECK_FALSE(call(*container).failure);
    container->destroy();
    CHECK(own.engine().containers(under_test.label()).empty());
  }
  {
    DockerUnderTest stranger(own.tcp_host(), by_tls(folder.file("stranger")));
    const auto none = stranger.runtime().create(function, within(30));
    REQUIRE_FALSE(none);
    CHECK(none.error().message.find("is not trusted: the certificate of 127.0.0.1 is not valid") !=
          std::string::npos);
  }
  DockerUnderTest plain(own.tcp_host());
  CHECK_FALSE(plain.runtime().create(function, within(30)));
}

TEST_CASE("a full disk fails the start as that, and the next one works when there is space", "[docker]") {
  OwnDockerEngine own({.megabytes = 64});
  const Function function = DockerUnderTest::custom(own.engine().tiny_image());
  DockerUnderTest under_test(own.engine().host());
  start(under_test, function)->destroy();
  const std::string filler = own.data() + "/filler";
  {
    std::ofstream file(filler, std::ios::binary);
    const std::string piece(4096, 'x');
    while (file.write(piece.data(), static_cast<std::streamsize>(piece.size())).flush()) {
    }
  }
  const auto full = under_test.runtime().create(function, within(30));
  REQUIRE_FALSE(full);
  INFO(full.error().message << ' ' << full.error().detail);
  CHECK(full.error().code == ErrorCode::kDiskFull);
  CHECK(full.error().message.find("no space left") != std::string::npos);
  std::filesystem::remove(filler);
  auto container = start(under_test, function);
  CHECK_FALSE(call(*container).failure);
}

}  // namespace
}  // namespace serverledge::test
