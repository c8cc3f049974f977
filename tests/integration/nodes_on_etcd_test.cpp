// Several real nodes with real functions on one real etcd.
#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <functional>
#include <future>
#include <map>
#include <string>
#include <vector>

#include "serverledge/net/base64.hpp"
#include "support/answers.hpp"
#include "support/etcd_process.hpp"
#include "support/node_process.hpp"

namespace serverledge::test {
namespace {

NodeProcess::Options on(const EtcdProcess& etcd) {
  return {{{"etcd.address", etcd.address()},
           {"registry.udp.port", "0"},
           {"sandbox.network", "host"},
           {"sandbox.stock.nodejs", "0"},
           {"sandbox.stock.python", "0"}},
          {}};
}

std::string returning(const std::string& what) {
  return "def handler(params, context):\n    return '" + what + "'\n";
}

std::string call(const NodeProcess& node, const std::string& function) {
  const HttpResponse answer = node.post("/invoke/" + function, "{}");
  return answer.status == 200 ? text_member(answer, "Result") : std::to_string(answer.status);
}

/// How long the slowest of some calls took.
Duration slowest(const NodeProcess& node, const std::string& function, int calls) {
  Duration most{};
  for (int i = 0; i < calls; ++i) {
    const TimePoint before = system_clock().now();
    CHECK(call(node, function) == "\"one\"");
    most = std::max(most, system_clock().now() - before);
  }
  return most;
}

}  // namespace

TEST_CASE("a function created on one node runs on another, updates and removals take effect there too",
          "[integration]") {
  const EtcdProcess etcd(wanted_etcd());
  const NodeProcess a(on(etcd));
  const NodeProcess b(on(etcd));
  a.create_python("f", returning("one"));
  CHECK(call(b, "f") == "\"one\"");  // also before the watch has told: an unknown name is looked up
  CHECK(call(a, "f") == "\"one\"");
  const TimePoint updating = system_clock().now();
  b.create_python("f", returning("two"));
  CHECK(eventually([&] { return call(a, "f") == "\"two\""; }));
  WARN("an update took " << seconds(system_clock().now() - updating)
                         << " s to the other node's first new answer");
  // The containers of the old record are gone: the one that is left is the new one's.
  CHECK(eventually([&] { return member(a.get("/status"), "AvailableWarmContainers") == R"({"f":1})"; }));
  CHECK(call(a, "f") == "\"two\"");

  const HttpResponse accepted = a.post("/invoke/f", R"({"Async":true})");
  REQUIRE(accepted.status == 200);
  HttpResponse answer;
  CHECK(eventually([&] {
    answer = b.get("/poll/" + text_member(accepted, "ReqId"));
    return answer.status == 200;
  }));
  CHECK(text_member(answer, "Result") == "\"two\"");

  CHECK(a.post("/delete", R"({"Name":"f"})").status == 200);
  CHECK(eventually([&] { return call(b, "f") == "404"; }));
}

TEST_CASE("create, update and delete on one node take effect on all within a second", "[integration]") {
  const EtcdProcess etcd(wanted_etcd());
  const NodeProcess one(on(etcd));
  const NodeProcess two(on(etcd));
  const NodeProcess three(on(etcd));
  // By what the watch tells, without the look-up that a call of an unknown name makes.
  const auto listed = [](const NodeProcess& node) {
    return node.get("/function").body.find("\"f\"") != std::string::npos;
  };
  std::map<std::string, std::vector<double>> took;
  const auto measure = [&](const std::string& what, const std::function<bool(const NodeProcess&)>& is_so) {
    const TimePoint before = system_clock().now();
    CHECK(eventually([&] { return is_so(two) && is_so(three); }));
    took[what].push_back(seconds(system_clock().now() - before));
  };
  for (int round = 0; round < 7; ++round) {
    one.create_python("f", returning("one"));
    measure("create", listed);
    CHECK(call(two, "f") == "\"one\"");
    one.create_python("f", returning("two"));
    measure("update", [](const NodeProcess& node) { return call(node, "f") == "\"two\""; });
    CHECK(one.post("/delete", R"({"Name":"f"})").status == 200);
    measure("delete", [&](const NodeProcess& node) { return !listed(node) && call(node, "f") == "404"; });
  }
  // The longest is for a machine that does much else: it takes 0.1 s on one that does not.
  for (auto& [what, times] : took) {
    std::sort(times.begin(), times.end());
    WARN(what << " took effect on all after " << times[times.size() / 2] << " s (median), " << times.back()
              << " s (longest)");
    CHECK(times[times.size() / 2] < 1);
    CHECK(times.back() < 10);
  }
}

TEST_CASE("while etcd hangs or is gone, calls of known functions go on as before, answers come later",
          "[integration]") {
  EtcdProcess etcd(wanted_etcd());
  const NodeProcess a(on(etcd));
  const NodeProcess b(on(etcd));
  a.create_python("f", returning("one"));
  CHECK(call(a, "f") == "\"one\"");
  slowest(a, "f", 50);
  etcd.signal(SIGSTOP);
  // A call that asked etcd would take at least the shortest of its deadlines, 200 ms, and each would.
  const TimePoint before = system_clock().now();
  slowest(a, "f", 100);
  CHECK(system_clock().now() - before < std::chrono::seconds(15));
  const HttpResponse accepted = a.post("/invoke/f", R"({"Async":true})");
  REQUIRE(accepted.status == 200);
  CHECK(text_member(poll(a, accepted), "Result") == "\"one\"");
  const HttpResponse refused =
      a.post("/create", R"({"Name":"g","Runtime":"python314","MemoryMB":128,)"
                        R"("Handler":"g.handler","TarFunctionCode":"cHJpbnQoKQ=="})");
  CHECK(refused.status == 503);
  CHECK(member(refused, "Error").find("etcd") != std::string::npos);
  etcd.kill();
  slowest(a, "f", 50);
  etcd.start();
  HttpResponse answer;
  CHECK(eventually([&] {
    answer = b.get("/poll/" + text_member(accepted, "ReqId"));
    return answer.status == 200;
  }));
  CHECK(text_member(answer, "Result") == "\"one\"");
  CHECK(a.post("/delete", R"({"Name":"f"})").status == 200);
  CHECK(eventually([&] { return call(b, "f") == "404"; }));
}

TEST_CASE("a node restarted while etcd is gone runs its functions, and learns later what changed",
          "[integration]") {
  EtcdProcess etcd(wanted_etcd());
  NodeProcess a(on(etcd));
  const NodeProcess b(on(etcd));
  b.create_python("called", returning("one"));
  b.create_python("never", returning("one"));  // its code has never been unpacked on a
  REQUIRE(call(a, "called") == "\"one\"");
  REQUIRE(eventually([&] { return a.get("/function").body == "[\"called\",\"never\"]\n"; }));
  etcd.kill();
  CHECK(a.stop() == 0);
  a.start();
  CHECK(call(a, "called") == "\"one\"");
  CHECK(call(a, "never") == "\"one\"");
  etcd.start();
  REQUIRE(eventually([&] { return b.post("/delete", R"({"Name":"never"})").status == 200; }));
  CHECK(eventually([&] { return a.get("/function").body == "[\"called\"]\n"; }));
  b.create_python("called", returning("two"));
  CHECK(eventually([&] { return call(a, "called") == "\"two\""; }));
}

TEST_CASE("a node that etcd does not let in is not started, and says so when it finds out later",
          "[integration]") {
  EtcdProcess etcd(wanted_etcd());
  const std::string root = "root:secret";
  etcd.ctl({"user", "add", root});
  etcd.ctl({"user", "grant-role", "root", "root"});
  etcd.ctl({"user", "add", "node:right"});
  etcd.ctl({"user", "grant-role", "node", "root"});
  etcd.ctl({"auth", "enable"});
  NodeProcess::Options options = on(etcd);
  options.settings.insert({{"etcd.user", "node"}, {"etcd.password", "wrong"}});
  CHECK_THROWS_WITH(NodeProcess(options), Catch::Contains("etcd.user"));

  etcd.kill();
  const NodeProcess node(options);
  CHECK(node.get("/readyz").body == "ready");  // for all that it knows
  etcd.start();
  HttpResponse answer;
  CHECK(eventually([&] {
    answer = node.get("/readyz");
    return answer.status == 503;
  }));
  CHECK(answer.body.find("etcd.user, etcd.password") != std::string::npos);
  // Mended on the side of etcd.
  etcd.ctl({"user", "delete", "node"}, root);
  etcd.ctl({"user", "add", "node:wrong"}, root);
  etcd.ctl({"user", "grant-role", "node", "root"}, root);
  CHECK(eventually([&] { return node.get("/readyz").status == 200; }));
  node.create_python("f", returning("one"));
  CHECK(call(node, "f") == "\"one\"");
}

TEST_CASE("who stores code over 1 MB in a cluster is told that Go nodes do not serve it", "[integration]") {
  const EtcdProcess etcd(wanted_etcd());
  const NodeProcess node(on(etcd));
  const auto create = [&](const std::string& name, std::size_t size) {
    std::string source = returning(name) + "# ";
    SeededRandom random(5);
    while (source.size() < size) source.push_back(static_cast<char>('a' + random.below(26)));
    std::string body = R"({"Name":")" + name + R"(","Runtime":"python314","MemoryMB":128,"Handler":")" +
                       name + R"(.handler","TarFunctionCode":")" + base64_encode(source) + "\"}";
    return node.post("/create", std::move(body));
  };
  const HttpResponse large = create("large", 1'200'000);
  CHECK(large.status == 200);
  CHECK(text_member(large, "Created") == "large");
  CHECK(text_member(large, "Warning").find("Go implementation") != std::string::npos);
  CHECK(header(large, "Warning").starts_with("299 - \""));
  const HttpResponse small = create("small", 1000);
  CHECK(small.body == "{\"Created\":\"small\"}\n");
  CHECK(header(small, "Warning") == "absent");
  CHECK(call(node, "large") == "\"large\"");
}

}  // namespace serverledge::test
