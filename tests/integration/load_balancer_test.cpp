// The load balancer as a process, before real nodes with real functions, on a real etcd.
#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "support/answers.hpp"
#include "support/command_run.hpp"
#include "support/etcd_process.hpp"
#include "support/node_process.hpp"

namespace serverledge::test {
namespace {

using Catch::Contains;

constexpr const char* kEcho =
    "import time\ndef handler(params, context):\n    time.sleep(params.get('s', 0))\n    return "
    "params['n']\n";

using Settings = std::map<std::string, std::string>;

NodeProcess::Options node(const EtcdProcess& etcd, const std::string& key, Settings more = {}) {
  more.insert({{"etcd.address", etcd.address()},
               {"registry.node.id", key},
               {"registry.udp.port", "0"},
               {"sandbox.network", "host"},
               {"sandbox.stock.nodejs", "0"},
               {"sandbox.stock.python", "0"}});
  return {.settings = std::move(more), .environment = {}};
}

NodeProcess::Options balancer(const EtcdProcess& etcd, Settings more = {}) {
  more.insert({{"etcd.address", etcd.address()}, {"registry.node.id", "front"}});
  return {.settings = std::move(more), .environment = {}, .program = SERVERLEDGE_LB};
}

/// etcd, three nodes and a balancer that has found them.
struct Cluster {
  explicit Cluster(Settings of_balancer = Settings()) : front(balancer(etcd, std::move(of_balancer))) {
    for (const char* key : {"one", "two", "three"}) add(key);
    REQUIRE(front.wait_for_log("targets nodes=3"));
  }
  void add(const std::string& key) {
    nodes.emplace(key, std::make_unique<NodeProcess>(node(etcd, key)));
    const std::string registered = "registry/ROME/amd64/" + key;
    REQUIRE(eventually([&] { return !etcd.ctl({"get", registered}).empty(); }));
  }
  /// Where calls of the function run, of some one after the other.
  std::set<std::string> used(const std::string& function, int calls = 5) const {
    std::set<std::string> found;
    for (int i = 0; i < calls; ++i)
      found.insert(text_member(front.post("/invoke/" + function, R"({"Params":{"n":1}})"), "ExecutionNode"));
    return found;
  }

  EtcdProcess etcd{wanted_etcd()};
  std::map<std::string, std::unique_ptr<NodeProcess>> nodes;
  NodeProcess front;
};

/// Calls of `echo` by several threads until its end; what came of them.
class Load {
 public:
  Load(const NodeProcess& front, int threads, double sleep) {
    for (int thread = 0; thread < threads; ++thread) {
      threads_.emplace_back([this, &front, sleep](const std::stop_token& stop) {
        while (!stop.stop_requested()) call(front, sleep);
      });
    }
  }
  void end() {
    for (std::jthread& thread : threads_) thread.request_stop();
    threads_.clear();
  }
  /// Waits for so many more good answers.
  bool goes_on(int calls) const {
    return eventually([this, until = good + calls] { return good >= until; });
  }

  std::atomic<int> good{0};
  std::atomic<int> unknown{0};  // 502: a node was sent it and did not answer
  std::atomic<int> wrong{0};
  /// What was wrong, of one.
  std::string what_was_wrong() const {
    const std::scoped_lock lock(mutex_);
    return a_wrong_one_;
  }

 private:
  void call(const NodeProcess& front, double sleep) {
    const std::string number = std::to_string(next_++);
    HttpRequest request;
    request.method = "POST";
    request.path = "/invoke/echo";
    request.body = R"({"Params":{"n":)" + number + R"(,"s":)" + std::to_string(sleep) + "}}";
    const auto answer = front.request(std::move(request), std::chrono::minutes(1));
    if (answer && answer->status == 502) {
      ++unknown;
    } else if (answer && answer->status == 200 && text_member(*answer, "Result") == number) {
      ++good;
    } else {
      ++wrong;
      const std::scoped_lock lock(mutex_);
      a_wrong_one_ = answer ? std::to_string(answer->status) + ": " + answer->body : answer.error().message;
    }
  }
  std::atomic<int> next_{0};
  mutable std::mutex mutex_;
  std::string a_wrong_one_;
  std::vector<std::jthread> threads_;
};

/// The last line of the log about that target.
std::string last_word(const std::string& log, const std::string& target) {
  const std::size_t name = log.rfind("node=" + target);
  if (name == std::string::npos) return {};
  const std::size_t begin = log.rfind('\n', name) + 1;
  return log.substr(begin, log.find('\n', name) - begin);
}

}  // namespace

TEST_CASE(
    "the balancer registers as the contract has it, serves the routes of a node, and is gone when it ends",
    "[integration]") {
  Cluster cluster;
  const std::string key = "registry/ROME/__lb/amd64/front";
  const std::string value = "127.0.0.1;" + std::to_string(cluster.front.port()) + ";9876;amd64";
  CHECK(eventually([&] { return cluster.etcd.ctl({"get", "--print-value-only", key}) == value + "\n"; }));

  cluster.front.create_python("echo", kEcho);
  const HttpResponse answer =
      cluster.front.post("/invoke/echo", R"({"Params":{"n":7}})", {{"Serverledge-MAB-Request-ID", "3"}});
  CHECK(answer.status == 200);
  CHECK(text_member(answer, "Result") == "7");
  CHECK(header(answer, "Serverledge-Node-Arch") == "amd64");
  CHECK(header(answer, "Serverledge-Timestamp") != "absent");
  for (const char* name : {"Serverledge-Node-Name", "Serverledge-Free-Mem", "Serverledge-Free-CPU",
                           "Serverledge-MAB-Request-ID"}) {
    CHECK(header(answer, name) == "absent");
  }
  CHECK(cluster.front.get("/function").body == "[\"echo\"]\n");
  CHECK(member(cluster.front.get("/status"), "TotalMemory") == "1024");
  CHECK(cluster.front.get("/readyz").status == 200);
  CHECK(cluster.front.post("/invoke/nowhere", "{}").status == 404);
  CHECK(cluster.front.post("/create", "{}").status == 400);
  CHECK(cluster.front.post("/delete", R"({"Name":"echo"})").status == 200);

  CHECK(cluster.front.stop() == 0);
  CHECK(cluster.etcd.ctl({"get", key}).empty());
}

TEST_CASE("a function's warm container is found again, and a hot function spills over", "[integration]") {
  Cluster cluster;
  cluster.front.create_python("echo", kEcho);
  const std::set<std::string> home = cluster.used("echo", 10);
  CHECK(home.size() == 1);
  const HttpResponse warm = cluster.front.post("/invoke/echo", R"({"Params":{"n":1}})");
  CHECK(member(warm, "IsWarmStart") == "true");
  // 24 at a time: a node has room for eight containers.
  std::set<std::string> nodes;
  int refused = 0;
  for (const HttpResponse& answer : post_at_once(
           cluster.front, 24, [](int) { return std::pair("/invoke/echo", R"({"Params":{"n":1,"s":1}})"); },
           24)) {
    if (answer.status == 200) nodes.insert(text_member(answer, "ExecutionNode"));
    refused += answer.status != 200 && answer.status != 429 ? 1 : 0;
  }
  CHECK(nodes.size() == 3);
  CHECK(refused == 0);
  CHECK(eventually([&] { return cluster.used("echo", 5) == home; }));
}

TEST_CASE("prewarming warms the node that the calls go to", "[integration]") {
  Cluster cluster;
  for (const char* name : {"a", "b", "c", "d"}) {
    cluster.front.create_python(name, kEcho);
    const HttpResponse warmed =
        cluster.front.post("/prewarm", R"({"Function":")" + std::string(name) + R"(","Instances":1})");
    CHECK(warmed.body == "{\"Prewarmed\":1}\n");
    const HttpResponse first = cluster.front.post("/invoke/" + std::string(name), R"({"Params":{"n":1}})");
    CHECK(member(first, "IsWarmStart") == "true");
  }
}

TEST_CASE(
    "an asynchronous call goes through and is polled at the balancer and at any node (known defect 3.2 "
    "lb.go)",
    "[integration]") {
  Cluster cluster(Settings{{"lb.arch_awareness", "true"}});
  cluster.front.create_python("echo", kEcho);
  for (int number = 0; number < 5; ++number) {
    const HttpResponse accepted = cluster.front.post(
        "/invoke/echo", R"({"Async":true,"Params":{"n":)" + std::to_string(number) + R"(,"s":0.2}})");
    REQUIRE(accepted.status == 200);
    const std::string path = "/poll/" + text_member(accepted, "ReqId");
    // Never "unknown": the node that accepted it is asked.
    HttpResponse answer = cluster.front.get(path);
    CHECK((answer.status == 200 || answer.body == "pending"));
    answer = poll(cluster.front, accepted);
    CHECK(text_member(answer, "Result") == std::to_string(number));
    for (const auto& [key, node] : cluster.nodes) CHECK(node->get(path).body == answer.body);
  }
  CHECK(cluster.front.get("/healthz").status == 200);
}

TEST_CASE(
    "a node that is killed under load costs only what it was running, and is used again when it is back",
    "[integration]") {
  Cluster cluster(Settings{{"lb.spare", "1"}});
  cluster.front.create_python("echo", kEcho);
  constexpr int kThreads = 6;
  Load load(cluster.front, kThreads, 0.02);
  REQUIRE(load.goes_on(50));
  const std::string home = *cluster.used("echo", 1).begin();
  NodeProcess& killed = *cluster.nodes.at(home);
  killed.signal(SIGKILL);
  const TimePoint before = system_clock().now();
  const int good = load.good;
  REQUIRE(eventually([&] { return load.good > good + kThreads; }));
  WARN("traffic over to the other nodes after " << seconds(system_clock().now() - before) << " s");
  CHECK(system_clock().now() - before <
        std::chrono::seconds(10));  // 1 s on a machine with nothing else to do
  REQUIRE(load.goes_on(100));
  killed.wait();
  killed.start();
  CHECK(eventually([&] { return cluster.used("echo", 1).contains(home); }));
  load.end();
  INFO(load.what_was_wrong());
  CHECK(load.wrong == 0);
  CHECK(load.unknown <= kThreads);  // each thread had one call there at most
}

TEST_CASE("a node that hangs is left out, and used again when it goes on", "[integration]") {
  Cluster cluster;
  cluster.front.create_python("echo", kEcho);
  const std::string home = *cluster.used("echo", 1).begin();
  cluster.nodes.at(home)->signal(SIGSTOP);
  REQUIRE(
      eventually([&] { return last_word(cluster.front.log(), home).find("left_out") != std::string::npos; }));
  CHECK_FALSE(cluster.used("echo", 10).contains(home));
  cluster.nodes.at(home)->signal(SIGCONT);
  CHECK(eventually([&] { return cluster.used("echo", 1).contains(home); }));
}

TEST_CASE("a node that is stopped under load finishes its calls, new ones go elsewhere", "[integration]") {
  Cluster cluster(Settings{{"lb.spare", "1"}});
  cluster.front.create_python("echo", kEcho);
  Load load(cluster.front, 4, 0.02);
  REQUIRE(load.goes_on(50));
  const std::string home = *cluster.used("echo", 1).begin();
  CHECK(cluster.nodes.at(home)->stop() == 0);
  REQUIRE(load.goes_on(100));
  load.end();
  INFO(load.what_was_wrong());
  CHECK(load.wrong == 0);
  CHECK(load.unknown <= 4);  // of those that were on their way when it closed its connections
}

TEST_CASE("while etcd is away the balancer goes on with the nodes that it knows", "[integration]") {
  Cluster cluster;
  cluster.front.create_python("echo", kEcho);
  const std::set<std::string> home = cluster.used("echo");
  cluster.etcd.kill();
  CHECK(cluster.used("echo", 50) == home);
  cluster.etcd.start();
  cluster.add("four");
  CHECK(cluster.front.wait_for_log("targets nodes=4"));
  CHECK(cluster.used("echo").size() == 1);
}

TEST_CASE("a balancer that is started while etcd is away begins with the nodes that it knew",
          "[integration]") {
  Cluster cluster;
  cluster.front.create_python("echo", kEcho);
  REQUIRE(cluster.used("echo").size() == 1);
  CHECK(cluster.front.stop() == 0);
  cluster.etcd.kill();
  cluster.nodes.erase("two");
  cluster.front.start();
  CHECK(cluster.front.get("/readyz").status == 200);
  for (int i = 0; i < 50; ++i) {
    const HttpResponse answer = cluster.front.post("/invoke/echo", R"({"Params":{"n":7}})");
    CHECK(answer.status == 200);
    CHECK(text_member(answer, "Result") == "7");
  }
  CHECK(cluster.front.wait_for_log("target_left_out node=two"));  // found out by itself
  cluster.etcd.start();
  cluster.add("four");
  CHECK(cluster.front.wait_for_log("targets nodes=4"));  // the lease of the one that has gone goes on
}

TEST_CASE("a balancer that etcd does not let in is not started", "[integration]") {
  const EtcdProcess etcd(wanted_etcd());
  etcd.ctl({"user", "add", "root:secret"});
  etcd.ctl({"user", "grant-role", "root", "root"});
  etcd.ctl({"auth", "enable"});
  CHECK_THROWS_WITH(NodeProcess(balancer(etcd, {{"etcd.user", "root"}, {"etcd.password", "wrong"}})),
                    Contains("etcd.user, etcd.password"));
  const NodeProcess right(balancer(etcd, {{"etcd.user", "root"}, {"etcd.password", "secret"}}));
  CHECK(right.get("/readyz").body == "no node of the area can be reached");
}

TEST_CASE("a balancer counts what it does", "[integration]") {
  Cluster cluster(Settings{{"metrics.enabled", "true"}});
  cluster.front.create_python("echo", kEcho);
  cluster.used("echo", 5);
  const HttpResponse answer = cluster.front.get("/metrics");
  CHECK(answer.content_type.starts_with("text/plain; version=0.0.4"));
  for (const char* line :
       {R"(serverledge_lb_requests_total{outcome="answered",route="invoke",status="2xx"} 5)",
        R"(serverledge_lb_requests_total{outcome="answered",route="change",status="2xx"} 1)",
        R"(serverledge_lb_request_time_seconds_count{route="invoke"} 5)",
        R"(serverledge_lb_targets{kind="up"} 3)", R"(serverledge_lb_target_calls{target="one"} 0)",
        "serverledge_store_up 1"}) {
    CHECK_THAT(answer.body, Contains(std::string(line) + "\n"));
  }
  CHECK_THAT(answer.body, Contains("\nprocess_resident_memory_bytes "));
}

TEST_CASE("a node of another area offloads to the balancer of the cloud", "[integration]") {
  Cluster cluster;
  const NodeProcess edge(node(cluster.etcd, "edge",
                              {{"registry.area", "EDGE"},
                               {"registry.remote.area", "ROME"},
                               {"scheduler.policy", "cloudonly"},
                               {"metrics.enabled", "true"}}));
  edge.create_python("echo", kEcho);
  HttpResponse answer;
  CHECK(eventually([&] {
    answer = edge.post("/invoke/echo", R"({"Params":{"n":5}})");
    return answer.status == 200;
  }));
  CHECK(text_member(answer, "Result") == "5");
  CHECK(cluster.used("echo", 1).contains(text_member(answer, "ExecutionNode")));  // warm there
  CHECK_THAT(edge.get("/metrics").body, Contains("target=\"front\""));
}

TEST_CASE("serverledge-lb says what is missing, and answers like the server what it is asked",
          "[integration]") {
  const auto run = [](std::vector<std::string> arguments, const std::vector<std::string>& environment) {
    arguments.insert(arguments.begin(), SERVERLEDGE_LB);
    return run_command(arguments, environment);
  };
  const std::vector<std::string> home{"HOME=/nonexistent"};
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{}, std::vector<std::string>{"--check-config"}}) {
    const CommandRun without = run(arguments, home);
    CHECK(without.exit_code == 1);
    CHECK_THAT(without.err, Contains("serverledge-lb: etcd.address"));
  }
  const std::vector<std::string> with{"HOME=/nonexistent", "SERVERLEDGE_ETCD_ADDRESS=127.0.0.1:2379"};
  CHECK(run({"--check-config"}, with).out == "the configuration is fine\n");
  CHECK_THAT(run({"--print-config"}, with).out, Contains("lb.bound = 1.25  # default"));
  CHECK_THAT(run({"--help"}, with).out, Contains("registry.area"));
  CHECK_THAT(run({"--version"}, with).out, Catch::StartsWith("serverledge-lb "));
  CHECK(run({"--nonsense"}, with).exit_code == 1);
}

}  // namespace serverledge::test
