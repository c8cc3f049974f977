// Hostile functions (tests/support/hostile) in a sandbox: each thing that they try must be denied.
#include <catch2/catch.hpp>
#include <filesystem>
#include <iostream>

#include "runtime/hostile_functions.hpp"
#include "runtime/sandbox_under_test.hpp"

namespace serverledge::test {
namespace {

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

Surroundings::Node node_of(const SandboxUnderTest& under_test) {
  return {under_test.store(), under_test.lock().run_root(), under_test.lock().id()};
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

  const std::string other_code = std::filesystem::path(under_test.code_folder(other)).filename();
  REQUIRE_FALSE(other_code.empty());

  const Function hostile = under_test.python(hostile_source("main.py"));
  const std::vector<std::string> attempts = attempts_of(under_test, hostile);
  CHECK(attempts.size() >= 40);
  for (const std::string& attempt : attempts) {
    auto container = start(under_test, hostile);
    check_denied(attempt, call(*container, surroundings.params(attempt, node_of(under_test), other_code)));
  }
  CHECK(neighbour->alive());
  std::cout << attempts.size() << " attempts in Python were denied\n";
}

TEST_CASE("a hostile Node.js function is denied all that it tries", "[isolation]") {
  const Surroundings surroundings;
  SandboxUnderTest under_test;
  const Function hostile = under_test.nodejs(hostile_source("main.js"));
  const std::vector<std::string> attempts = attempts_of(under_test, hostile);
  CHECK(attempts.size() >= 10);
  for (const std::string& attempt : attempts) {
    auto container = start(under_test, hostile);
    check_denied(attempt, call(*container, surroundings.params(attempt, node_of(under_test), "none")));
  }
  std::cout << attempts.size() << " attempts in Node.js were denied\n";
}

}  // namespace
}  // namespace serverledge::test
