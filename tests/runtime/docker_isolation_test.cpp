// Hostile functions (tests/support/hostile) in containers of images: what they are denied, and what not.
#include <catch2/catch.hpp>
#include <iostream>
#include <map>
#include <string>

#include "runtime/docker_under_test.hpp"
#include "runtime/hostile_functions.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge::test {
namespace {

/// What a container lets a function do that a sandbox does not, and why it is no way out. docs/sandbox.md has
/// the same list.
using Allowed = std::map<std::string, std::string>;
const Allowed kAllowedInPython{
    {"become_root_by_a_setuid_program", "the image's files honour setuid, but no_new_privs is set"},
    {"call_as_32_bits", "the engine's seccomp profile allows it"},
    {"call_as_x32", "it fails instead of ending the process"},
    {"change_the_kernels_settings", "its own oom_score_adj, upwards"},
    {"connect_to_the_nodes_sockets", "it has none: its channel is TCP"},
    {"kill_its_init", "its own container's"},
    {"learn_the_machines_name_and_groups", "the host name is a fixed one, but another"},
    {"look_into_its_init", "its own container's, the environment of which is its own"},
    {"open_special_sockets", "ping"},
    {"put_words_into_a_terminal", "there is no terminal"},
    {"raise_its_limits", "its own oom_score_adj, upwards"},
    {"reach_another_function", "it sees its own executor's port; see the test below"},
    {"reach_out_by_symlinks_and_dots", "its own root"},
    {"reach_sysfs_and_cgroups", "read-only"},
    {"reach_the_node", "it can connect, and is not answered; see docker_node_test"},
    {"read_homes_and_data_of_the_machine", "those of its image"},
    {"read_the_kernels_secrets", "what everybody reads in /proc"},
    {"see_network_devices", "its own"},
    {"set_the_clock_or_the_name", "reading the clock's state"},
    {"signal_other_processes", "its own container's"},
    {"trace_processes", "its own"},
    {"use_dangerous_calls", "what the engine's seccomp profile allows"},
    {"use_descriptors_that_it_inherited", "its executor's"},
    {"use_devices", "a terminal of its own"},
    {"use_io_uring", "the seccomp profile of Docker before 25 allows it"},
};

const Allowed kAllowedInNodejs{
    {"look_into_its_init", "its own container's, the environment of which is its own"},
};

Surroundings::Node node_of(const DockerUnderTest& under_test) {
  return {under_test.store(), under_test.lock().run_root(), under_test.lock().id()};
}

const char* const kOther =
    "def handler(params, context):\n"
    "    for name in ('/tmp/other', '/dev/shm/other'):\n"
    "        with open(name, 'w') as file:\n"
    "            file.write('secret of another function')\n"
    "    return 'left'\n";

/// Tries all but what is allowed, each in a container of its own; how many attempts were denied.
std::size_t check_denied(DockerUnderTest& under_test, const Function& hostile, const Allowed& allowed,
                         const std::string& other_code) {
  const Surroundings surroundings;
  const std::vector<std::string> attempts = attempts_of(under_test, hostile);
  std::size_t denied = 0;
  for (const std::string& attempt : attempts) {
    if (allowed.contains(attempt)) continue;
    auto container = start(under_test, hostile);
    const Reply reply = call(*container, surroundings.params(attempt, node_of(under_test), other_code));
    CAPTURE(attempt, reply.result);
    if (reply.failure) FAIL_CHECK(reply.failure->message << '\n' << reply.failure->traceback);
    if (!reply.failure) CHECK(reply.result == "null");
    ++denied;
  }
  CHECK(denied + allowed.size() == attempts.size());
  return denied;
}

TEST_CASE("a hostile Python function in a container is denied all but a known list", "[docker][isolation]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  require_image(engine, "serverledge-python310");
  DockerUnderTest under_test(engine.host());
  const Function other = under_test.python(kOther);
  auto neighbour = start(under_test, other);
  REQUIRE(call(*neighbour).result == "\"left\"");
  const Function hostile = under_test.python(hostile_source("main.py"));
  const std::size_t denied = check_denied(under_test, hostile, kAllowedInPython, other.code_digest);
  CHECK(denied >= 20);
  CHECK(neighbour->alive());
  std::cout << denied << " attempts in Python in a container were denied, " << kAllowedInPython.size()
            << " are allowed there\n";
}

TEST_CASE("a hostile Node.js function in a container is denied all but a known list", "[docker][isolation]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  require_image(engine, "serverledge-nodejs17");
  DockerUnderTest under_test(engine.host());
  const Function hostile = under_test.nodejs(hostile_source("main.js"));
  const std::size_t denied = check_denied(under_test, hostile, kAllowedInNodejs, "none");
  CHECK(denied >= 10);
  std::cout << denied << " attempts in Node.js in a container were denied, " << kAllowedInNodejs.size()
            << " are allowed there\n";
}

TEST_CASE("a function in a container does not reach another one's executor", "[docker][isolation]") {
  const DockerEngine engine = DockerEngine::of_fixture();
  require_image(engine, "serverledge-python310");
  DockerUnderTest under_test(engine.host());
  auto neighbour = start(under_test, under_test.python(kOther));
  const HttpResponse record =
      engine.request("GET", "/containers/" + engine.containers(under_test.label()).at(0) + "/json");
  const JsonDocument document = JsonDocument::parse(record.body).value();
  const JsonValue networks = document.root().find("NetworkSettings")->find("Networks").value();
  const std::string address(networks.at(0).find("IPAddress")->as_string().value());
  auto hostile =
      start(under_test, under_test.python("import socket\n"
                                          "def handler(params, context):\n"
                                          "    try:\n"
                                          "        socket.create_connection((params['to'], 8080), 3)\n"
                                          "        return 'reached'\n"
                                          "    except OSError:\n"
                                          "        return 'denied'\n"));
  CHECK(call(*hostile, "{\"to\":\"" + address + "\"}").result == "\"denied\"");
  // The way there is: it reaches its own.
  CHECK(call(*hostile, R"({"to":"127.0.0.1"})").result == "\"reached\"");
}

}  // namespace
}  // namespace serverledge::test
