// Hostile functions (tests/support/hostile) in a sandbox: each thing that they try must be denied.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <set>

#include "net/file_descriptor.hpp"
#include "runtime/sandbox_under_test.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSecret = "sesame-of-the-node";

std::string read_source(const char* name) {
  std::ifstream file(std::string(HOSTILE_FOLDER) + '/' + name);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// What a node has around a function: an API on all addresses, an abstract socket, secrets in its
/// environment.
class Surroundings {
 public:
  Surroundings()
      : tcp_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
        abstract_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    ::setenv("SERVERLEDGE_SECRET", kSecret, 1);
    sockaddr_in any{};
    any.sin_family = AF_INET;
    socklen_t size = sizeof(any);
    REQUIRE(::bind(tcp_.get(), reinterpret_cast<sockaddr*>(&any), sizeof(any)) == 0);
    REQUIRE(::listen(tcp_.get(), 16) == 0);
    REQUIRE(::getsockname(tcp_.get(), reinterpret_cast<sockaddr*>(&any), &size) == 0);
    port_ = ntohs(any.sin_port);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    abstract_name_ = "serverledge-test-" + std::to_string(::getpid());
    std::memcpy(name.sun_path + 1, abstract_name_.data(), abstract_name_.size());
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + abstract_name_.size());
    REQUIRE(::bind(abstract_.get(), reinterpret_cast<sockaddr*>(&name), length) == 0);
    REQUIRE(::listen(abstract_.get(), 16) == 0);
  }

  /// The params of an attempt.
  std::string params(const std::string& attempt, const SandboxUnderTest& under_test,
                     const std::string& other) const {
    std::string text;
    JsonWriter json(text);
    json.begin_object().key("attempt").string(attempt).key("store").string(under_test.store());
    json.key("run").string(under_test.lock().run_root()).key("node").string(under_test.lock().id());
    json.key("secret").string(kSecret).key("port").integer(port_).key("abstract").string(abstract_name_);
    json.key("other_code").string(other).key("tmp_bytes").integer(std::int64_t{64} << 20U);
    json.key("addresses").begin_array();
    for (const std::string& address : own_addresses()) json.string(address);
    json.end_array().end_object();
    return text;
  }

 private:
  static std::set<std::string> own_addresses() {
    std::set<std::string> found;
    ifaddrs* list = nullptr;
    REQUIRE(::getifaddrs(&list) == 0);
    for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
      if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
      char text[INET_ADDRSTRLEN];
      const auto* address = reinterpret_cast<const sockaddr_in*>(at->ifa_addr);
      found.insert(::inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text)));
    }
    ::freeifaddrs(list);
    return found;
  }

  FileDescriptor tcp_;
  FileDescriptor abstract_;
  int port_ = 0;
  std::string abstract_name_;
};

/// A function that leaves all that it can where another might find it.
const char* const kOther =
    "import ctypes, os, socket, time\n"
    "kept = []\n"
    "def handler(params, context):\n"
    "    for name in ('/tmp/other', '/dev/shm/other', '/var/tmp/other2'):\n"
    "        with open(name, 'w') as file:\n"
    "            file.write('secret of another function')\n"
    "    tcp = socket.create_server(('', 8080))\n"
    "    unix = socket.socket(socket.AF_UNIX)\n"
    "    unix.bind('\\0other')\n"
    "    unix.listen()\n"
    "    kept.extend([tcp, unix])\n"
    "    assert ctypes.CDLL(None).shmget(4711, 4096, 0o1666) >= 0\n"
    "    return 'left'\n";

std::vector<std::string> attempts_of(RuntimeUnderTest& under_test, const Function& function) {
  auto container = start(under_test, function);
  const Reply reply = call(*container, R"({"attempt": "list"})");
  REQUIRE_FALSE(reply.failure);
  const Result<JsonDocument> document = JsonDocument::parse(reply.result);
  REQUIRE(document);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < document->root().size(); ++i)
    names.emplace_back(*document->root().at(i).as_string());
  return names;
}

/// Attempts that are denied by the end of the process.
bool is_fatal(const std::string& attempt) { return attempt == "call_as_32_bits" || attempt == "call_as_x32"; }

void check_denied(const std::string& attempt, const Reply& reply) {
  CAPTURE(attempt, reply.result);
  if (is_fatal(attempt)) {
    REQUIRE(reply.failure);
    CHECK(reply.failure->kind == FailureKind::kCrashed);
    CHECK((reply.failure->message == "the function's process was killed by SIGSYS" ||
           reply.failure->message == "the function's process was killed by SIGABRT"));
    return;
  }
  if (reply.failure)
    FAIL_CHECK(attempt << ": " << reply.failure->message << '\n' << reply.failure->traceback);
  if (!reply.failure) CHECK(reply.result == "null");
}

TEST_CASE("a hostile Python function is denied all that it tries", "[isolation]") {
  const Surroundings surroundings;
  SandboxUnderTest under_test;
  const Function other = under_test.python(kOther);
  auto earlier = start(under_test, other);
  REQUIRE(call(*earlier).result == "\"left\"");
  earlier->destroy();
  auto neighbour = start(under_test, other);
  REQUIRE(call(*neighbour).result == "\"left\"");

  const std::string other_code = fs::path(under_test.code_folder(other)).filename();
  REQUIRE_FALSE(other_code.empty());

  const Function hostile = under_test.python(read_source("main.py"));
  const std::vector<std::string> attempts = attempts_of(under_test, hostile);
  CHECK(attempts.size() >= 40);
  for (const std::string& attempt : attempts) {
    auto container = start(under_test, hostile);
    check_denied(attempt, call(*container, surroundings.params(attempt, under_test, other_code)));
  }
  CHECK(neighbour->alive());
  std::cout << attempts.size() << " attempts in Python were denied\n";
}

TEST_CASE("a hostile Node.js function is denied all that it tries", "[isolation]") {
  const Surroundings surroundings;
  SandboxUnderTest under_test;
  const Function hostile = under_test.nodejs(read_source("main.js"));
  const std::vector<std::string> attempts = attempts_of(under_test, hostile);
  CHECK(attempts.size() >= 10);
  for (const std::string& attempt : attempts) {
    auto container = start(under_test, hostile);
    check_denied(attempt, call(*container, surroundings.params(attempt, under_test, "none")));
  }
  std::cout << attempts.size() << " attempts in Node.js were denied\n";
}

}  // namespace
}  // namespace serverledge::test
