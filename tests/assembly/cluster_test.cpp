#include <catch2/catch.hpp>

#include <map>
#include <set>

#include "serverledge/assembly/open_node.hpp"
#include "serverledge/cluster/embedded_store.hpp"
#include "serverledge/core/json.hpp"
#include "serverledge/net/base64.hpp"
#include "serverledge/net/http_client.hpp"
#include "support/answers.hpp"
#include "support/gate.hpp"
#include "support/scripted_runtime.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {
namespace {

using testing::ScriptedRuntime;

/// The part that one node has of a store that several share.
class SharedStore final : public KeyValueStore {
 public:
  explicit SharedStore(KeyValueStore& store) : store_(store) {}
  Result<std::optional<StoredEntry>> get(std::string_view key, std::optional<Duration> within) override {
    return store_.get(key, within);
  }
  Result<std::uint64_t> put(std::string_view key, std::string_view value,
                            std::optional<Duration> ttl) override {
    return store_.put(key, value, ttl);
  }
  Result<std::uint64_t> create(std::string_view key, std::string_view value,
                               std::optional<Duration> ttl) override {
    return store_.create(key, value, ttl);
  }
  Result<std::optional<std::uint64_t>> remove(std::string_view key) override { return store_.remove(key); }
  Result<std::optional<std::uint64_t>> commit(const StoreTransaction& transaction) override {
    return store_.commit(transaction);
  }
  Result<std::vector<StoredEntry>> list(std::string_view prefix) override { return store_.list(prefix); }
  Result<std::vector<std::string>> keys(std::string_view prefix) override { return store_.keys(prefix); }
  Result<void> refresh(std::string_view key) override { return store_.refresh(key); }
  std::unique_ptr<Watch> watch(std::string_view prefix, StoreListener& listener) override {
    return store_.watch(prefix, listener);
  }
  bool healthy() const noexcept override { return store_.healthy(); }

 private:
  KeyValueStore& store_;
};

/// A node of a cluster in this process, with scripted containers.
class Member {
 public:
  Member(KeyValueStore& store, const std::string& key, std::map<std::string, std::string> settings) {
    auto owned = std::make_unique<ScriptedRuntime>();
    runtime = owned.get();
    settings.insert({{"store.path", folder_.file("store")},
                     {"api.listen", "127.0.0.1"},
                     {"api.port", "0"},
                     {"etcd.address", "127.0.0.1:2379"},  // names the store, which is given
                     {"registry.node.id", key},
                     {"registry.udp.port", "0"},
                     {"registry.nearby.interval", "0.05"},
                     {"log.level", "error"},
                     {"container.pool.memory", "256"}});
    Configuration configuration;
    for (const auto& [name, value] : settings) {
      if (auto set = configuration.set(name, value); !set) throw std::runtime_error(set.error().message);
    }
    Overrides overrides;
    overrides.runtime = std::move(owned);
    overrides.store = std::make_unique<SharedStore>(store);
    auto opened = open_node(configuration, std::move(overrides));
    if (!opened) throw std::runtime_error(opened.error().message);
    node = std::move(*opened);
  }
  void start() {
    if (auto started = node->start(); !started) throw std::runtime_error(started.error().message);
  }

  HttpResponse post(const std::string& path, std::string body, HttpHeaders /*headers*/ = {}) {
    HttpRequest request;
    request.method = "POST";
    request.path = path;
    request.body = std::move(body);
    return send(request);
  }
  HttpResponse get(const std::string& path) {
    HttpRequest request;
    request.path = path;
    return send(request);
  }
  HttpResponse send(const HttpRequest& request) {
    auto answer =
        client_.request(HttpTarget::tcp("127.0.0.1", node->port()), request, std::chrono::seconds(5),
                        later(system_clock().now(), std::chrono::minutes(1)));
    if (!answer) throw std::runtime_error(request.path + ": " + answer.error().message);
    return std::move(*answer);
  }
  void create(const std::string& name) {
    const HttpResponse answer =
        post("/create",
             R"({"Name":")" + name + R"(","Runtime":"python314","MemoryMB":128,"Handler":"f.handler",)" +
                 R"("TarFunctionCode":")" + base64_encode("def handler(params, context): pass\n") + "\"}");
    if (answer.status != 200) throw std::runtime_error(answer.body);
  }
  bool knows(const std::string& function) {
    return eventually([&] { return node->node().registry().find(function).has_value(); });
  }
  ScriptedRuntime* runtime = nullptr;
  std::unique_ptr<OpenedNode> node;

 private:
  TemporaryFolder folder_;
  HttpClient client_{{}, system_clock()};
};

/// Invokes until the answer comes from that node: what the others know of each other spreads with time.
bool runs_on(Member& member, const std::string& node, const std::string& body = "{}") {
  return eventually([&] { return text_member(member.post("/invoke/f", body), "ExecutionNode") == node; });
}

/// A store, and nodes on it as a test adds them.
class Cluster {
 public:
  using Settings = std::map<std::string, std::string>;
  /// A started node.
  Member& add(const std::string& key, Settings settings = {}) {
    Member& member =
        *members_.emplace(key, std::make_unique<Member>(store(), key, std::move(settings))).first->second;
    member.start();
    return member;
  }
  void remove(const std::string& key) { members_.erase(key); }
  KeyValueStore& store() { return *store_; }

 private:
  std::unique_ptr<KeyValueStore> store_ = std::move(*open_embedded_store(":memory:", system_clock()));
  std::map<std::string, std::unique_ptr<Member>> members_;
};

/// Two nodes, of which the one hands its calls of `f` to the other.
struct Pair : Cluster {
  Pair() {
    one.create("f");
    REQUIRE(two.knows("f"));
    REQUIRE(runs_on(one, "two"));
  }
  Member& one = add("one", {{"scheduler.policy", "edgeonly"}});
  Member& two = add("two");
};

TEST_CASE("Two nodes of an area find each other, and one hands the other its work", "[cluster]") {
  Pair pair;
  Member& one = pair.one;
  Member& two = pair.two;
  const HttpResponse offloaded = one.post("/invoke/f", R"({"Params":{"n":1},"ReturnOutput":true})");
  CHECK(offloaded.status == 200);
  CHECK(text_member(offloaded, "Result") == R"({"n":1})");
  CHECK(member(offloaded, "OffloadLatency") != "0");
  CHECK(header(offloaded, "Serverledge-Node-Name") == "one");
  CHECK(text_member(two.post("/invoke/f", "{}"), "ExecutionNode") == "two");  // localonly
  CHECK(text_member(one.post("/invoke/f", R"({"CanDoOffloading":false})"), "ExecutionNode") == "one");
  // Coordinates are measured, and told.
  CHECK(eventually(
      [&] { return member(one.get("/status"), "Coordinates").find("[0,0,0]") == std::string::npos; }));
}

TEST_CASE(
    "The answer of an asynchronous call that was offloaded is polled where it was accepted (known defect 7)",
    "[cluster]") {
  Pair pair;
  Member& one = pair.one;
  Member& two = pair.two;
  two.runtime->on_call = [](const Function&, const Call& call) {
    return Reply{.result = std::string(call.params),
                 .failure = {},
                 .output = call.return_output ? "said" : "",
                 .doomed = false};
  };
  const HttpResponse accepted =
      one.post("/invoke/f", R"({"Params":{"n":7},"Async":true,"ReturnOutput":true})");
  REQUIRE(accepted.status == 200);
  const HttpResponse answer = poll(one, accepted);
  CHECK(answer.status == 200);
  CHECK(text_member(answer, "Result") == R"({"n":7})");
  CHECK(text_member(answer, "Output") == "said");
  CHECK(text_member(answer, "ExecutionNode") == "two");
  // From the store, by whomever it is asked for.
  CHECK(two.get("/poll/" + text_member(accepted, "ReqId")).body == answer.body);
}

TEST_CASE("A function that fails on another node fails here with its error", "[cluster]") {
  Pair pair;
  Member& one = pair.one;
  Member& two = pair.two;
  two.runtime->on_call = [](const Function&, const Call&) {
    return Reply{.result = {},
                 .failure = Failure{FailureKind::kRaised, "ValueError: no", "line 1"},
                 .output = {},
                 .doomed = false};
  };
  const HttpResponse failed = one.post("/invoke/f", "{}");
  CHECK(failed.status == 500);
  CHECK(member(failed, "Error") == R"({"Kind":"raised","Message":"ValueError: no","Traceback":"line 1"})");
  CHECK(text_member(failed, "ExecutionNode") == "two");
}

TEST_CASE("An overloaded edge node hands its work to the cloud, the cloud keeps it", "[cluster]") {
  Cluster cluster;
  Member& edge = cluster.add("edge", {{"scheduler.policy", "edgecloud"}, {"registry.remote.area", "CLOUD"}});
  Member& cloud1 = cluster.add("cloud1", {{"registry.area", "CLOUD"}});
  Member& cloud2 = cluster.add("cloud2", {{"registry.area", "CLOUD"}});
  edge.create("f");
  REQUIRE(cloud1.knows("f"));
  REQUIRE(cloud2.knows("f"));
  CHECK(text_member(edge.post("/invoke/f", "{}"), "ExecutionArea") == "ROME");

  test::Gate gate;  // holds what runs at the edge
  edge.runtime->on_call = [&](const Function&, const Call& call) {
    gate.wait();
    return Reply{.result = std::string(call.params), .failure = {}, .output = {}, .doomed = false};
  };
  {
    Caller first(edge, "f", "{}"), second(edge, "f", "{}");
    REQUIRE(gate.wait_for_arrivals(2));
    std::set<std::string> ran_on;
    const bool both = eventually([&] {
      const HttpResponse answer = edge.post("/invoke/f", "{}");
      if (answer.status == 200) ran_on.insert(text_member(answer, "ExecutionNode"));
      return ran_on.size() == 2;
    });
    CHECK(both);
    CHECK(ran_on == std::set<std::string>{"cloud1", "cloud2"});
    gate.open();
  }
}

TEST_CASE("In a cluster a function that this node cannot run is stored, with a warning, and runs elsewhere",
          "[cluster]") {
  Cluster cluster;
  Member& small = cluster.add("small", {{"scheduler.policy", "nearest"}});
  Member& large = cluster.add("large", {{"container.pool.memory", "4096"}, {"container.pool.cpus", "8"}});
  const auto create = [&](const std::string& fields) {
    return small.post("/update", R"({"Name":"f","Handler":"f.handler","TarFunctionCode":")" +
                                     base64_encode("def handler(params, context): pass\n") + "\"," + fields +
                                     "}");
  };
  HttpResponse stored = create(R"("Runtime":"python314","MemoryMB":512)");
  CHECK(stored.status == 200);
  CHECK(text_member(stored, "Created") == "f");
  CHECK(text_member(stored, "Warning").find("256 MB of this node") != std::string::npos);
  CHECK(header(stored, "Warning").starts_with("299 - \"this node cannot run the function"));
  REQUIRE(large.knows("f"));
  REQUIRE(runs_on(small, "large"));
  // Kept here, it is refused at once and not held in vain.
  CHECK(small.post("/invoke/f", R"({"CanDoOffloading":false})").status == 429);
  const HttpResponse image =
      small.post("/update", R"({"Name":"g","Runtime":"custom","CustomImage":"some/image","MemoryMB":64})");
  CHECK(text_member(image, "Warning").find("runtime custom") != std::string::npos);
  CHECK(create(R"("Runtime":"cobol","MemoryMB":64)").status == 404);
  CHECK(create(R"("Runtime":"python314","MemoryMB":0)").status == 422);
  stored = create(R"("Runtime":"python314","MemoryMB":128)");
  CHECK(stored.body == "{\"Created\":\"f\"}\n");
  CHECK(header(stored, "Warning") == "absent");
}

TEST_CASE("A neighbour that is gone costs no call: the next choice is taken", "[cluster]") {
  Pair pair;
  // It dies without a word: its registration stays.
  const auto registration = pair.store().get("registry/ROME/amd64/two").value();
  REQUIRE(registration);
  pair.remove("two");
  REQUIRE(pair.store().put(registration->key, registration->value));
  for (int i = 0; i < 20; ++i) {
    const HttpResponse answer = pair.one.post("/invoke/f", "{}");
    CHECK(answer.status == 200);
    CHECK(text_member(answer, "ExecutionNode") == "one");
  }
}

TEST_CASE("A node that ends is no longer in the registry", "[cluster]") {
  Cluster cluster;
  const auto registered = [&] { return cluster.store().get("registry/ROME/amd64/one").value().has_value(); };
  Member& one = cluster.add("one");
  REQUIRE(eventually(registered));
  one.node->stop(Duration::zero());
  CHECK_FALSE(registered());
}

}  // namespace
}  // namespace serverledge::test
