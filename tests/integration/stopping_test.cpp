// Row 21 of the known defects, on a real node: a stop lets the calls that run finish, and nothing stays
// behind.
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "support/answers.hpp"
#include "support/call_gate.hpp"
#include "support/node_process.hpp"
#include "support/traces.hpp"

namespace serverledge::test {
namespace {

namespace fs = std::filesystem;

NodeProcess::Options on_host_network(std::map<std::string, std::string> settings) {
  settings["sandbox.network"] = "host";
  return {settings, {}};
}

std::string params_of(const std::string& name) { return R"({"Params":{"name":")" + name + "\"}}"; }

/// What a node left. Made while it lives, when its id and its processes can be seen.
class Traces {
 public:
  explicit Traces(const NodeProcess& node) : store_(node.store()), id_(read_whole(store_ / "node-id")) {
    id_.erase(id_.find_last_not_of('\n') + 1);
    REQUIRE(id_.size() == 16);
    // The launcher's PID 1, zygote, stock.
    REQUIRE(eventually([&] { return processes_with(store_).size() > 2; }));
  }
  const std::string& id() const { return id_; }
  bool processes() const { return !processes_with(store_).empty(); }
  bool cgroups() const { return !cgroups_of(id_).empty(); }

  /// Nothing at all, which includes namespaces: they end with the last process and mount of theirs.
  void check_none() const {
    CHECK(processes_with(store_) == std::set<int>{});
    CHECK(cgroups_of(id_) == std::set<std::string>{});
    CHECK(mounts_with(id_) == 0);
    CHECK(mounts_with(store_.string()) == 0);
    for (const char* root : {"/run/serverledge/", "/tmp/serverledge-"}) {
      CHECK_FALSE(fs::exists(root + id_));
      CHECK_FALSE(fs::exists(root + id_ + ".lock"));
    }
  }

 private:
  fs::path store_;
  std::string id_;
};

/// Several calls that wait at the gate, inside the functions.
std::vector<std::unique_ptr<Caller>> hold_calls(const NodeProcess& node, CallGate& gate, int count) {
  std::vector<std::unique_ptr<Caller>> calls;
  node.create_python("held", gate.waiting_handler(), "\"MemoryMB\":64");
  for (int call = 0; call < count; ++call) {
    calls.push_back(std::make_unique<Caller>(node, "held", params_of(std::to_string(call))));
  }
  REQUIRE(gate.wait_for_arrivals(static_cast<std::size_t>(count)));
  return calls;
}

/// Threads that call a function again and again until the node takes no more.
class Load {
 public:
  Load(const NodeProcess& node, const std::string& function, int threads) {
    for (int thread = 0; thread < threads; ++thread) {
      threads_.emplace_back([this, &node, path = "/invoke/" + function](const std::stop_token& stop) {
        while (!stop.stop_requested() && call(node, path)) {
        }
      });
    }
  }
  /// What the calls were answered: a status, or 0 for a connection that was not taken.
  std::set<int> end() {
    threads_.clear();
    const std::scoped_lock lock(mutex_);
    return statuses_;
  }
  bool has_seen(int status) {
    const std::scoped_lock lock(mutex_);
    return statuses_.contains(status);
  }

 private:
  bool call(const NodeProcess& node, const std::string& path) {
    HttpRequest request;
    request.method = "POST";
    request.path = path;
    request.body = "{}";
    const Result<HttpResponse> answer = node.request(std::move(request), std::chrono::minutes(1));
    const int status = answer ? answer->status : 0;
    const std::scoped_lock lock(mutex_);
    statuses_.insert(status);
    return status != 0;
  }

  std::mutex mutex_;
  std::set<int> statuses_;
  std::vector<std::jthread> threads_;
};

TEST_CASE("row 21: SIGTERM under load lets running calls finish, refuses new ones and leaves nothing behind",
          "[integration]") {
  CallGate gate;
  NodeProcess node(on_host_network({{"api.drain", "60"}}));
  node.create_javascript("busy", "exports.handler = () => 1;", "\"MemoryMB\":64");
  auto calls = hold_calls(node, gate, 4);
  const HttpResponse accepted = node.post("/invoke/held", R"({"Async":true,"Params":{"name":"later"}})");
  REQUIRE(gate.wait_for_arrivals(5));
  Load load(node, "busy", 4);
  REQUIRE(eventually([&] { return load.has_seen(200); }));
  const Traces traces(node);

  node.signal(SIGTERM);
  REQUIRE(eventually([&] { return load.has_seen(503); }));
  CHECK(node.get("/readyz").status == 503);
  CHECK(node.get("/healthz").status == 200);
  const HttpResponse refused = node.post("/invoke/busy", "{}");
  CHECK(refused.status == 503);
  CHECK_THAT(text_member(refused, "Error"), Catch::Contains("stopping"));
  CHECK(traces.processes());

  gate.open();
  for (std::size_t call = 0; call < calls.size(); ++call) {
    const HttpResponse& answer = calls[call]->answer();
    INFO(answer.body);
    CHECK(answer.status == 200);
    CHECK(text_member(answer, "Result") == '"' + std::to_string(call) + '"');
  }
  CHECK(node.wait() == 0);
  const std::set<int> statuses = load.end();
  for (const int status : statuses) {
    INFO(status);
    CHECK((status == 200 || status == 503 || status == 429 || status == 0));
  }
  traces.check_none();

  // The asynchronous call had begun, so it ended too.
  node.start();
  const HttpResponse answer = poll(node, accepted);
  CHECK(answer.status == 200);
  CHECK(text_member(answer, "Result") == "\"later\"");
}

TEST_CASE("row 21: a call that outlasts api.drain is cut off, and nothing stays behind", "[integration]") {
  CallGate gate;
  NodeProcess node(on_host_network({{"api.drain", "0.2"}}));
  auto calls = hold_calls(node, gate, 2);
  const Traces traces(node);
  node.stop();
  for (auto& call : calls) CHECK(call->answer().status != 200);
  traces.check_none();
}

TEST_CASE("row 21: a second signal stops at once, says so, and nothing stays behind", "[integration]") {
  CallGate gate;
  NodeProcess node(on_host_network({{"api.drain", "3600"}}));
  auto calls = hold_calls(node, gate, 2);
  const Traces traces(node);
  node.signal(SIGINT);
  REQUIRE(node.wait_for_log("stopping, waiting up to 3600 s"));
  node.signal(SIGTERM);
  CHECK(node.wait() == 3);
  for (auto& call : calls) CHECK(call->answer().status != 200);
  traces.check_none();
}

TEST_CASE("row 21: after SIGKILL and a restart nothing of the earlier life is left, and the node works",
          "[integration]") {
  CallGate gate;
  NodeProcess node(on_host_network({}));
  auto calls = hold_calls(node, gate, 2);
  const Traces traces(node);
  node.signal(SIGKILL);
  CHECK(node.wait() == -SIGKILL);
  for (auto& call : calls) CHECK(call->answer().status != 200);
  CHECK(eventually([&] { return !traces.processes(); }));
  node.start();
  gate.open();
  const HttpResponse answer = node.post("/invoke/held", params_of("again"));
  INFO(answer.body);
  CHECK(answer.status == 200);
  CHECK(Traces(node).id() == traces.id());
  CHECK(node.stop() == 0);
  traces.check_none();
}

}  // namespace
}  // namespace serverledge::test
