#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "serverledge/core/json.hpp"
#include "serverledge/serverledge.h"
#include "support/eventually.hpp"

namespace serverledge::test {
namespace {

constexpr const char* kSource =
    "import time\n"
    "def handler(params, context):\n"
    "    print('called')\n"
    "    if 'seconds' in params: time.sleep(params['seconds'])\n"
    "    return 100 // params.get('divisor', 1)\n";

/// What a call of the interface said, freed with it.
struct Said {
  serverledge_code code = SERVERLEDGE_INTERNAL;
  serverledge_error* error = nullptr;
  ~Said() { serverledge_error_free(error); }
  std::string message() const { return serverledge_error_message(error); }
};

/// A node with the function `f`.
class EmbeddedNode {
 public:
  explicit EmbeddedNode(const char* settings = R"({"container.pool.memory": 512})") {
    Said said;
    said.code = serverledge_node_open(settings, &node_, &said.error);
    INFO(said.message());
    REQUIRE(said.code == SERVERLEDGE_OK);
    serverledge_function f = function("f");
    REQUIRE(serverledge_node_create(node_, &f, nullptr) == SERVERLEDGE_OK);
  }
  ~EmbeddedNode() { serverledge_node_free(node_); }
  EmbeddedNode(const EmbeddedNode&) = delete;
  EmbeddedNode& operator=(const EmbeddedNode&) = delete;

  static serverledge_function function(const char* name) {
    serverledge_function made = SERVERLEDGE_FUNCTION_INIT;
    made.name = name;
    made.handler = "f.handler";
    made.memory_mb = 128;
    made.code = kSource;
    made.code_size = std::char_traits<char>::length(kSource);
    return made;
  }
  static serverledge_call call(const char* params) {
    serverledge_call made = SERVERLEDGE_CALL_INIT;
    made.params = params;
    return made;
  }
  operator serverledge_node*() const { return node_; }  // NOLINT(google-explicit-constructor)

 private:
  serverledge_node* node_ = nullptr;
};

/// What `done` was told of the calls that ended.
struct Ends {
  std::vector<std::string> results;
  std::vector<serverledge_code> errors;
  static void done(void* ends, serverledge_report* report, serverledge_error* error) {
    auto& self = *static_cast<Ends*>(ends);
    if (report != nullptr) {
      const char* result = serverledge_report_result(report);
      self.results.emplace_back(result == nullptr ? "failed" : result);
    } else {
      self.errors.push_back(serverledge_error_code(error));
    }
    serverledge_report_free(report);
    serverledge_error_free(error);
  }
  std::size_t size() const { return results.size() + errors.size(); }
};

class Queue {
 public:
  Queue() { REQUIRE(serverledge_queue_create(&queue_, nullptr) == SERVERLEDGE_OK); }
  ~Queue() { serverledge_queue_free(queue_); }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  operator serverledge_queue*() const { return queue_; }  // NOLINT(google-explicit-constructor)
  bool readable(int milliseconds) const {
    pollfd ready{.fd = serverledge_queue_fd(queue_), .events = POLLIN, .revents = 0};
    return ::poll(&ready, 1, milliseconds) == 1;
  }

 private:
  serverledge_queue* queue_ = nullptr;
};

std::string take(char* text) {
  std::string copy = text == nullptr ? "" : text;
  serverledge_string_free(text);
  return copy;
}

bool busy(serverledge_node* node) {
  char* json = nullptr;
  serverledge_node_status(node, &json, nullptr);
  return take(json).find("\"AvailableMemory\":128") != std::string::npos;
}

}  // namespace

TEST_CASE("The C interface gives a failure as a code and a sentence, and no exception", "[c]") {
  CHECK(serverledge_abi_version() == SERVERLEDGE_ABI_VERSION);
  serverledge_node* node = nullptr;
  Said typo;
  typo.code = serverledge_node_open(R"({"container.pool.memry": 1})", &node, &typo.error);
  CHECK(typo.code == SERVERLEDGE_INVALID);
  CHECK(serverledge_error_code(typo.error) == SERVERLEDGE_INVALID);
  CHECK(typo.message().find("container.pool.memory") != std::string::npos);
  CHECK(node == nullptr);
  Said broken;
  broken.code = serverledge_node_open("{", &node, &broken.error);
  CHECK(broken.code == SERVERLEDGE_INVALID);
  Said missing;
  missing.code = serverledge_node_open_file("/nowhere/serverledge.yaml", &node, &missing.error);
  CHECK(missing.code == SERVERLEDGE_NOT_FOUND);
  // Without a place for the error, and without what is required.
  CHECK(serverledge_node_open("{", &node, nullptr) == SERVERLEDGE_INVALID);
  CHECK(serverledge_node_open(nullptr, nullptr, nullptr) == SERVERLEDGE_INVALID);
  CHECK(serverledge_node_invoke(nullptr, "f", nullptr, nullptr, nullptr) == SERVERLEDGE_INVALID);
  serverledge_error_free(nullptr);
  serverledge_report_free(nullptr);
  serverledge_submission_free(nullptr);
  serverledge_queue_free(nullptr);
  serverledge_node_free(nullptr);
  serverledge_string_free(nullptr);
}

TEST_CASE("The C interface creates, lists, updates and deletes functions", "[c]") {
  const EmbeddedNode node;
  serverledge_function g = EmbeddedNode::function("g");
  g.signature = R"({"Inputs":[{"Name":"divisor","Type":"Int"}],"Outputs":[]})";
  CHECK(serverledge_node_create(node, &g, nullptr) == SERVERLEDGE_OK);
  CHECK(serverledge_node_create(node, &g, nullptr) == SERVERLEDGE_EXISTS);
  CHECK(serverledge_node_update(node, &g, nullptr) == SERVERLEDGE_OK);
  g.name = "too much";
  Said name;
  name.code = serverledge_node_create(node, &g, &name.error);
  CHECK(name.code == SERVERLEDGE_INVALID);
  CHECK(name.message().find("Name") != std::string::npos);
  g.name = "h";
  g.memory_mb = 100000;
  CHECK(serverledge_node_create(node, &g, nullptr) == SERVERLEDGE_UNPROCESSABLE);
  g.memory_mb = 64;
  g.runtime = "cobol";
  CHECK(serverledge_node_create(node, &g, nullptr) == SERVERLEDGE_NOT_FOUND);
  g.runtime = "python310";
  g.signature = "{";
  CHECK(serverledge_node_create(node, &g, nullptr) == SERVERLEDGE_INVALID);

  char* json = nullptr;
  REQUIRE(serverledge_node_list(node, &json, nullptr) == SERVERLEDGE_OK);
  const std::string text = take(json);
  const auto list = JsonDocument::parse(text);
  REQUIRE(list);
  REQUIRE(list->root().size() == 2);
  CHECK(list->root().at(0).find("Name")->as_string() == "f");
  CHECK(list->root().at(1).find("Signature")->find("Inputs")->size() == 1);

  CHECK(serverledge_node_delete(node, "g", nullptr) == SERVERLEDGE_OK);
  CHECK(serverledge_node_delete(node, "g", nullptr) == SERVERLEDGE_NOT_FOUND);
  int started = 0;
  CHECK(serverledge_node_prewarm(node, "f", 2, &started, nullptr) == SERVERLEDGE_OK);
  CHECK(started == 2);
  CHECK(serverledge_node_prewarm(node, "g", 1, &started, nullptr) == SERVERLEDGE_NOT_FOUND);
}

TEST_CASE("A caller of the C interface that was compiled with a shorter structure is understood", "[c]") {
  const EmbeddedNode node;
  serverledge_call call = EmbeddedNode::call(R"({"divisor": 5})");
  call.size = offsetof(serverledge_call, qos_class);
  call.can_offload = false;
  call.return_output = true;  // beyond its size: not looked at
  serverledge_report* report = nullptr;
  REQUIRE(serverledge_node_invoke(node, "f", &call, &report, nullptr) == SERVERLEDGE_OK);
  CHECK(std::string(serverledge_report_result(report)) == "20");
  CHECK(std::string(serverledge_report_output(report)).empty());
  serverledge_report_free(report);
}

TEST_CASE("The C interface invokes, and tells of success and of failure", "[c]") {
  const EmbeddedNode node;
  serverledge_report* report = nullptr;
  serverledge_call call = EmbeddedNode::call(R"({"divisor": 7})");
  call.return_output = true;
  REQUIRE(serverledge_node_invoke(node, "f", &call, &report, nullptr) == SERVERLEDGE_OK);
  CHECK_FALSE(serverledge_report_failed(report));
  CHECK(std::string(serverledge_report_result(report)) == "14");
  CHECK(std::string(serverledge_report_output(report)) == "called\n");
  CHECK_FALSE(serverledge_report_warm(report));
  CHECK(serverledge_report_init_time(report) > 0);
  CHECK(serverledge_report_duration(report) > 0);
  CHECK(serverledge_report_response_time(report) >= serverledge_report_duration(report));
  CHECK(serverledge_report_failure_message(report) == nullptr);
  char* json = nullptr;
  REQUIRE(serverledge_report_json(report, &json, nullptr) == SERVERLEDGE_OK);
  CHECK(take(json).find("\"Success\":true") != std::string::npos);
  serverledge_report_free(report);

  call.params = R"({"divisor": 0})";
  REQUIRE(serverledge_node_invoke(node, "f", &call, &report, nullptr) == SERVERLEDGE_OK);
  CHECK(serverledge_report_failed(report));
  CHECK(serverledge_report_result(report) == nullptr);
  CHECK(std::string(serverledge_report_failure_kind(report)) == "raised");
  CHECK(std::string(serverledge_report_failure_message(report)).find("ZeroDivisionError") == 0);
  CHECK(std::string(serverledge_report_failure_traceback(report)).find("f.py") != std::string::npos);
  CHECK(serverledge_report_warm(report));
  serverledge_report_free(report);

  for (const char* params : {"[1]", "{", "\xff"}) {
    call.params = params;
    Said said;
    said.code = serverledge_node_invoke(node, "f", &call, &report, &said.error);
    CHECK(said.code == SERVERLEDGE_INVALID);
    CHECK(said.message().find("params: ") == 0);
    CHECK(report == nullptr);
  }
  CHECK(serverledge_node_invoke(node, "g", nullptr, &report, nullptr) == SERVERLEDGE_NOT_FOUND);
}

TEST_CASE("The C interface accepts calls for later, and answers polls", "[c]") {
  const EmbeddedNode node;
  char* text = nullptr;
  REQUIRE(serverledge_node_invoke_async(node, "f", nullptr, &text, nullptr) == SERVERLEDGE_OK);
  const std::string id = take(text);
  serverledge_report* report = nullptr;
  CHECK(eventually([&] {
    const serverledge_code code = serverledge_node_poll(node, id.c_str(), &report, nullptr);
    return code != SERVERLEDGE_PENDING;
  }));
  REQUIRE(report != nullptr);
  CHECK(std::string(serverledge_report_result(report)) == "100");
  serverledge_report_free(report);
  CHECK(serverledge_node_poll(node, "unheard-of", &report, nullptr) == SERVERLEDGE_NOT_FOUND);
}

TEST_CASE("A C host waits for submitted calls by a descriptor", "[c]") {
  const EmbeddedNode node;
  const Queue queue;
  Ends ends;
  CHECK_FALSE(queue.readable(0));
  serverledge_call call = EmbeddedNode::call(R"({"divisor": 4})");
  call.background = true;
  constexpr std::size_t kCalls = 200;
  for (std::size_t i = 0; i < kCalls; ++i) {
    REQUIRE(serverledge_node_submit(node, "f", &call, queue, &Ends::done, &ends, nullptr, nullptr) ==
            SERVERLEDGE_OK);
  }
  while (ends.size() < kCalls && queue.readable(60000)) serverledge_queue_drain(queue, 3);
  CHECK(ends.results == std::vector<std::string>(kCalls, "25"));
  CHECK_FALSE(queue.readable(0));
  CHECK_FALSE(serverledge_queue_wait(queue, 0));
  CHECK(serverledge_node_submit(node, "g", &call, queue, &Ends::done, &ends, nullptr, nullptr) ==
        SERVERLEDGE_NOT_FOUND);
}

TEST_CASE("A C host cancels what waits and what runs", "[c]") {
  const EmbeddedNode node(R"({"container.pool.memory": 128, "scheduler.queue.capacity": 10})");
  Ends ends;
  const Queue queue;
  const serverledge_call call = EmbeddedNode::call(R"({"seconds": 0.5})");
  serverledge_submission* running = nullptr;
  serverledge_submission* waiting = nullptr;
  REQUIRE(serverledge_node_submit(node, "f", &call, queue, &Ends::done, &ends, &running, nullptr) ==
          SERVERLEDGE_OK);
  CHECK(std::string(serverledge_submission_id(running)).find("f-") == 0);
  REQUIRE(serverledge_node_submit(node, "f", &call, queue, &Ends::done, &ends, &waiting, nullptr) ==
          SERVERLEDGE_OK);
  CHECK(serverledge_submission_cancel(waiting));
  CHECK(serverledge_submission_cancel(running));
  CHECK_FALSE(serverledge_submission_cancel(running));
  while (ends.size() < 2 && serverledge_queue_wait(queue, 60)) serverledge_queue_drain(queue, 100);
  CHECK(ends.errors == std::vector<serverledge_code>(2, SERVERLEDGE_CANCELLED));
  CHECK(ends.results.empty());
  serverledge_submission_free(running);
  serverledge_node_stop(node, 30);
  CHECK(serverledge_queue_drain(queue, 100) == 0);
  CHECK_FALSE(serverledge_submission_cancel(waiting));
  serverledge_submission_free(waiting);
}

TEST_CASE("A stopped C node takes no calls, and another beside it goes on", "[c]") {
  const EmbeddedNode other;
  const EmbeddedNode node(R"({"container": {"pool": {"memory": 256}}, "api.port": 0})");
  CHECK(serverledge_node_port(node) == 0);
  CHECK(serverledge_node_listen(node, nullptr) == SERVERLEDGE_OK);
  CHECK(serverledge_node_port(node) > 0);
  CHECK(serverledge_node_listen(node, nullptr) == SERVERLEDGE_INVALID);
  serverledge_report* report = nullptr;
  std::atomic<serverledge_code> cut{SERVERLEDGE_INTERNAL};
  std::jthread caller([&] {
    const serverledge_call call = EmbeddedNode::call(R"({"seconds": 30})");
    serverledge_report* given = nullptr;
    cut = serverledge_node_invoke(node, "f", &call, &given, nullptr);
    serverledge_report_free(given);
  });
  REQUIRE(eventually([&] { return busy(node); }));
  serverledge_node_stop(node, 0);
  caller.join();
  CHECK(cut == SERVERLEDGE_OK);  // it ran, and its container was killed
  CHECK(serverledge_node_invoke(node, "f", nullptr, &report, nullptr) == SERVERLEDGE_CANCELLED);
  CHECK(report == nullptr);
  serverledge_node_stop(node, 0);
  REQUIRE(serverledge_node_invoke(other, "f", nullptr, &report, nullptr) == SERVERLEDGE_OK);
  serverledge_report_free(report);
}

}  // namespace serverledge::test
