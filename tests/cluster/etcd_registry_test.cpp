// Functions and results of a cluster: registries of several nodes on one real etcd.
#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <thread>

#include "cluster/faulty_store.hpp"
#include "cluster/recording_observer.hpp"
#include "serverledge/cluster/embedded_store.hpp"
#include "serverledge/cluster/etcd_store.hpp"
#include "serverledge/cluster/stored_registry.hpp"
#include "serverledge/cluster/stored_results.hpp"
#include "serverledge/net/base64.hpp"
#include "serverledge/net/sha256.hpp"
#include "support/etcd_process.hpp"
#include "support/eventually.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge {
namespace {

using namespace std::chrono_literals;
using Catch::Contains;
using test::EtcdProcess;
using test::eventually;
using test::FaultyStore;
using test::RecordingObserver;
using test::TemporaryFolder;
using test::wanted_etcd;

/// What a node has of the cluster's functions and results.
struct Member {
  Member(const EtcdProcess& etcd, const std::string& folder) {
    auto opened = open_embedded_store(folder, system_clock());
    auto shared = open_etcd_store({.endpoints = {etcd.address()}}, system_clock());
    if (!opened || !shared) throw std::runtime_error("cannot open the stores");
    disk = std::move(*opened);
    store = std::move(*shared);
    registry = make_stored_registry(*store, system_clock(), observer, disk.get());
    results = std::make_unique<StoredResults>(*store, system_clock(), observer, 1800s);
  }

  bool knows(const std::string& name) const {
    const auto all = registry->list();
    return std::ranges::any_of(all, [&](const FunctionPtr& function) { return function->name == name; });
  }
  /// The digest of the code as this node knows it at present; empty without the function.
  std::string digest(const std::string& name) const {
    for (const FunctionPtr& function : registry->list())
      if (function->name == name) return function->code_digest;
    return {};
  }
  bool kept(const std::string& name, std::size_t pieces = 0) const {
    const auto record = disk->get("kept/function/" + name);
    return record && *record && disk->keys("kept/code/" + name + "/")->size() == pieces;
  }

  RecordingObserver observer;
  std::unique_ptr<KeyValueStore> disk;
  std::unique_ptr<KeyValueStore> store;
  std::unique_ptr<FunctionRegistry> registry;
  std::unique_ptr<StoredResults> results;
};

Function function(const std::string& name) {
  Function made;
  made.name = name;
  made.runtime = "python314";
  made.memory_mb = 600;
  made.handler = "hello.handler";
  made.supported_archs = {"amd64", "arm64"};
  made.signature.emplace();
  return made;
}

std::string large_code(std::uint64_t seed, std::size_t size = 2'500'000) {
  SeededRandom random(seed);
  std::string made(size, '\0');
  for (std::size_t i = 0; i < made.size(); i += 64) made[i] = static_cast<char>(random.next());
  return made;
}

// As the Go implementation was seen to write it.
std::string captured(const std::string& name, const std::string& code) {
  return R"({"Name":")" + name +
         R"(","Runtime":"python314","MemoryMB":600,"CPUDemand":0,"MaxConcurrency":1,)" +
         R"("Handler":"hello.handler","TarFunctionCode":")" + base64_encode(code) +
         R"(","CustomImage":"","SupportedArchs":["amd64","arm64"],"Signature":{"Inputs":[],"Outputs":[]}})";
}

}  // namespace

TEST_CASE("Changes on one node take effect on the others", "[etcd][registry]") {
  const EtcdProcess etcd(wanted_etcd());
  const TemporaryFolder folder;
  const Member a(etcd, folder.file("a"));
  const Member b(etcd, folder.file("b"));
  REQUIRE(a.registry->create(function("f"), "one"));
  CHECK(b.registry->create(function("f"), "other").error().code == ErrorCode::kExists);
  CHECK(eventually([&] { return b.digest("f") == sha256_hex("one"); }));
  REQUIRE(b.registry->update(function("f"), "two"));
  CHECK(eventually([&] { return a.digest("f") == sha256_hex("two"); }));
  CHECK(a.registry->code(**a.registry->find("f")).value() == "two");
  REQUIRE(b.registry->remove("f"));
  CHECK(eventually([&] { return !a.knows("f"); }));
  CHECK(a.registry->remove("f").error().code == ErrorCode::kNotFound);
  CHECK(eventually([&] { return !a.kept("f") && !b.kept("f"); }));
}

TEST_CASE("Of creates of one name on several nodes exactly one succeeds", "[etcd][registry]") {
  const EtcdProcess etcd(wanted_etcd());
  const TemporaryFolder folder;
  const Member members[] = {{etcd, folder.file("a")}, {etcd, folder.file("b")}, {etcd, folder.file("c")}};
  std::atomic<int> created = 0;
  std::atomic<int> existed = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 12; ++i) {
      threads.emplace_back([&, i] {
        const auto outcome = members[i % 3].registry->create(function("f"), std::to_string(i));
        if (outcome) ++created;
        if (!outcome && outcome.error().code == ErrorCode::kExists) ++existed;
      });
    }
  }
  CHECK(created == 1);
  CHECK(existed == 11);
}

TEST_CASE("Nodes that change one large function at the same time leave its code whole, and no other",
          "[etcd][registry]") {
  const EtcdProcess etcd(wanted_etcd());
  const TemporaryFolder folder;
  const Member members[] = {{etcd, folder.file("a")}, {etcd, folder.file("b")}, {etcd, folder.file("c")}};
  // Few, so that nodes write and remove the same pieces.
  const std::vector<std::string> codes{large_code(1, 1'100'000), large_code(2, 1'100'000), "small"};
  const std::uint64_t seed = entropy();
  INFO("seed " << seed);
  std::atomic<int> failed = 0;
  for (std::uint64_t round = 0; round < 6; ++round) {
    {
      std::vector<std::jthread> threads;
      for (std::uint64_t node = 0; node < 3; ++node) {
        threads.emplace_back([&, node] {
          SeededRandom random(seed + 3 * round + node);
          for (int change = 0; change < 2; ++change) {
            FunctionRegistry& registry = *members[node].registry;
            if (random.below(5) == 0) {
              const auto removed = registry.remove("f");
              if (!removed && removed.error().code != ErrorCode::kNotFound) ++failed;
            } else if (random.below(5) == 0) {
              const auto created = registry.create(function("f"), codes[random.below(3)]);
              if (!created && created.error().code != ErrorCode::kExists) ++failed;
            } else if (!registry.update(function("f"), codes[random.below(3)])) {
              ++failed;
            }
          }
        });
      }
    }
    const auto record = members[0].store->get("/function/f").value();
    const auto stored = record ? function_from_json(record->value) : Unexpected(ErrorCode::kNotFound, "");
    std::vector<std::string> pieces;
    if (stored && !stored->function.code_digest.empty()) {
      for (const char* piece : {"0", "1"})
        pieces.push_back("/serverledge/code/f/" + stored->function.code_digest + "/" + piece);
      CHECK(codes.at(stored->function.code_digest == sha256_hex(codes[0]) ? 0 : 1) ==
            members[1].registry->code(stored->function).value());
    }
    CHECK(members[0].store->keys("/serverledge/code/").value() == pieces);
  }
  CHECK(failed == 0);
}

TEST_CASE("Records of the Go implementation are served, and ours are what it would have written",
          "[etcd][registry]") {
  const EtcdProcess etcd(wanted_etcd());
  const TemporaryFolder folder;
  const Member member(etcd, folder.file("a"));
  etcd.ctl({"put", "/function/theirs", captured("theirs", "their code")});
  REQUIRE(eventually([&] { return member.knows("theirs"); }));
  CHECK(member.registry->code(**member.registry->find("theirs")).value() == "their code");
  REQUIRE(member.registry->create(function("ours"), "our code"));
  CHECK(etcd.ctl({"get", "/function/ours", "--print-value-only"}) == captured("ours", "our code") + "\n");

  member.results->publish("ours-1", R"({"Success":true})");
  CHECK(etcd.ctl({"get", "async/ours-1", "--print-value-only"}) == "{\"Success\":true}\n");
  etcd.ctl({"put", "async/theirs-1", R"({"Success":false})"});
  CHECK(member.results->find("theirs-1")->answer == R"({"Success":false})");
  // What the Go implementation lists by these prefixes are functions and workflows, and nothing else.
  CHECK(etcd.ctl({"get", "/function", "--prefix", "--keys-only"}) ==
        "/function/ours\n\n/function/theirs\n\n");
  CHECK(etcd.ctl({"get", "/workflow", "--prefix", "--keys-only"}).empty());
}

TEST_CASE("Code over 1 MB lies in etcd in pieces, is served by all nodes, and goes with its record",
          "[etcd][registry]") {
  const EtcdProcess etcd(wanted_etcd());
  const TemporaryFolder folder;
  const Member a(etcd, folder.file("a"));
  const Member b(etcd, folder.file("b"));
  const std::string code = large_code(1);
  REQUIRE(a.registry->create(function("f"), code));
  const std::string piece = "/serverledge/code/f/" + sha256_hex(code) + "/";
  CHECK(etcd.ctl({"get", "/serverledge/code/", "--prefix", "--keys-only"}) ==
        piece + "0\n\n" + piece + "1\n\n" + piece + "2\n\n");
  REQUIRE(eventually([&] { return b.knows("f"); }));
  CHECK((b.registry->code(**b.registry->find("f")).value() == code));
  CHECK(eventually([&] { return a.kept("f", 3) && b.kept("f", 3); }));
  const std::string other = large_code(2);
  REQUIRE(b.registry->update(function("f"), other));
  REQUIRE(eventually([&] { return a.digest("f") == sha256_hex(other); }));
  CHECK((a.registry->code(**a.registry->find("f")).value() == other));
  REQUIRE(a.registry->remove("f"));
  CHECK(etcd.ctl({"get", "/serverledge/code/", "--prefix", "--keys-only"}).empty());
  CHECK(
      eventually([&] { return a.disk->keys("kept/code/")->empty() && b.disk->keys("kept/code/")->empty(); }));
}

TEST_CASE(
    "A node that begins while etcd is away knows its functions and has their code, and reconciles later",
    "[etcd][registry]") {
  EtcdProcess etcd(wanted_etcd());
  const TemporaryFolder folder;
  const std::string code = large_code(3);
  {
    const Member member(etcd, folder.file("a"));
    for (const char* name : {"stays", "goes", "changes"})
      REQUIRE(member.registry->create(function(name), name));
    REQUIRE(member.registry->create(function("large"), code));
    REQUIRE(eventually([&] {
      return member.kept("stays") && member.kept("goes") && member.kept("changes") && member.kept("large", 3);
    }));
  }
  etcd.kill();
  const Member member(etcd, folder.file("a"));
  CHECK(member.registry->list().size() == 4);
  CHECK(member.registry->code(**member.registry->find("stays")).value() == "stays");
  CHECK((member.registry->code(**member.registry->find("large")).value() == code));
  CHECK(member.registry->create(function("new"), "x").error().code == ErrorCode::kUnavailable);
  CHECK(member.registry->find("unknown").error().code == ErrorCode::kUnavailable);
  const FunctionPtr before = *member.registry->find("stays");

  etcd.hide();
  etcd.ctl({"del", "/function/goes"});
  etcd.ctl({"put", "/function/changes", captured("changes", "changed")});
  etcd.come_back();
  CHECK(
      eventually([&] { return !member.knows("goes") && member.digest("changes") == sha256_hex("changed"); }));
  CHECK(member.registry->list().size() == 3);
  // What did not change is the same function still, so that its containers stay.
  CHECK(*member.registry->find("stays") == before);
  CHECK(etcd.ctl({"get", "/function/goes"}).empty());
}

TEST_CASE("Functions that etcd lost are served all along and put back", "[etcd][registry]") {
  EtcdProcess etcd(wanted_etcd());
  const TemporaryFolder folder;
  const Member a(etcd, folder.file("a"));
  const Member b(etcd, folder.file("b"));
  const std::string code = large_code(4);
  REQUIRE(a.registry->create(function("small"), "small"));
  REQUIRE(a.registry->create(function("large"), code));
  REQUIRE(a.registry->create(function("taken"), "old"));
  for (const Member* member : {&a, &b}) {
    REQUIRE(eventually(
        [&] { return member->kept("small") && member->kept("taken") && member->kept("large", 3); }));
  }
  const std::string record = etcd.ctl({"get", "/function/small", "--print-value-only"});
  const FunctionPtr before = *a.registry->find("small");
  etcd.kill();
  etcd.wipe();
  etcd.hide();
  // Meanwhile somebody takes one of the names.
  etcd.ctl({"put", "/function/taken", captured("taken", "new")});
  etcd.come_back();
  CHECK(eventually([&] { return etcd.ctl({"get", "/function/small", "--print-value-only"}) == record; }));
  CHECK(eventually([&] { return !etcd.ctl({"get", "/function/large"}).empty(); }));
  CHECK(eventually(
      [&] { return a.digest("taken") == sha256_hex("new") && b.digest("taken") == sha256_hex("new"); }));
  CHECK(*a.registry->find("small") == before);
  const Member c(etcd, folder.file("c"));
  REQUIRE(eventually([&] { return c.registry->list().size() == 3; }));
  CHECK((c.registry->code(**c.registry->find("large")).value() == code));

  // From here on a removal is one, also for a node that was away.
  REQUIRE(b.registry->remove("small"));
  CHECK(eventually([&] { return !a.knows("small") && !c.knows("small"); }));
  CHECK(etcd.ctl({"get", "/function/small"}).empty());
}

TEST_CASE("Code that is put back and taken for left over by a node that starts is put back again",
          "[etcd][registry]") {
  EtcdProcess etcd(wanted_etcd());
  const TemporaryFolder folder;
  const std::string code = large_code(5);
  {
    const Member member(etcd, folder.file("a"));
    REQUIRE(member.registry->create(function("f"), code));
    REQUIRE(eventually([&] { return member.kept("f", 3); }));
  }
  etcd.kill();
  etcd.wipe();
  etcd.start();
  RecordingObserver observer;
  const auto disk = std::move(*open_embedded_store(folder.file("a"), system_clock()));
  const auto etcd_store = std::move(*open_etcd_store({.endpoints = {etcd.address()}}, system_clock()));
  FaultyStore cluster(*etcd_store);
  std::atomic<bool> removed = false;
  cluster.before_commit = [&] {
    if (removed) return;
    // Its code is there, its record is not.
    const std::size_t pieces = etcd_store->keys("/serverledge/code/f/")->size();
    const auto starting = make_stored_registry(*etcd_store, system_clock(), observer);
    removed = pieces == 3 && etcd_store->keys("/serverledge/code/f/")->empty();
  };
  const auto registry = make_stored_registry(cluster, system_clock(), observer, disk.get());
  REQUIRE(eventually([&] { return etcd_store->get("/function/f").value().has_value(); }));
  CHECK(removed);
  CHECK(etcd_store->keys("/serverledge/code/f/")->size() == 3);
  const Member other(etcd, folder.file("b"));
  CHECK((other.registry->code(**other.registry->find("f")).value() == code));
}

TEST_CASE("An etcd restored from an old backup gets back what was created since", "[etcd][registry]") {
  EtcdProcess etcd(wanted_etcd());
  const TemporaryFolder folder;
  const Member member(etcd, folder.file("a"));
  REQUIRE(member.registry->create(function("old"), "old"));
  etcd.kill();
  etcd.back_up();
  etcd.start();
  REQUIRE(eventually([&] { return member.registry->create(function("since"), "since").has_value(); }));
  REQUIRE(eventually([&] { return member.kept("since"); }));
  etcd.kill();
  etcd.restore();
  etcd.start();
  CHECK(eventually([&] { return !etcd.ctl({"get", "/function/since"}).empty(); }));
  CHECK(member.knows("old"));
  CHECK(member.knows("since"));
}

TEST_CASE("While etcd hangs, known functions and their code cost nothing, results wait and are stored later",
          "[etcd][registry]") {
  EtcdProcess etcd(wanted_etcd());
  const TemporaryFolder folder;
  const Member a(etcd, folder.file("a"));
  const Member b(etcd, folder.file("b"));
  REQUIRE(a.registry->create(function("f"), "code"));
  REQUIRE(eventually([&] { return a.kept("f"); }));
  // Far less than if each of these asked: 200 ms for a look-up, 5 s for a write.
  constexpr Duration kAsking = 20s;
  etcd.signal(SIGSTOP);
  const TimePoint before = system_clock().now();
  for (int i = 0; i < 1000; ++i) REQUIRE(a.registry->find("f"));
  CHECK(a.registry->code(**a.registry->find("f")).value() == "code");
  CHECK(system_clock().now() - before < kAsking);

  CHECK_FALSE(a.store->get("x"));  // the node has noticed
  const TimePoint publishing = system_clock().now();
  for (int i = 0; i < 50; ++i) a.results->publish("id-" + std::to_string(i), "answer");
  CHECK(system_clock().now() - publishing < kAsking);
  const TimePoint pumping = system_clock().now();
  a.results->pump(pumping);
  CHECK(system_clock().now() - pumping < kAsking);
  CHECK(a.results->waiting() == 50);
  CHECK(a.results->find("id-7")->answer == "answer");

  SECTION("when it goes on") { etcd.signal(SIGCONT); }
  SECTION("when it is started anew") {
    etcd.kill();
    etcd.start();
  }
  SECTION("when it lost its data") {
    etcd.kill();
    etcd.wipe();
    etcd.start();
  }
  CHECK(eventually([&] {
    a.results->pump(system_clock().now());
    return a.results->waiting() == 0;
  }));
  CHECK(eventually([&] {
    const auto found = b.results->find("id-7");
    return found && found->answer == "answer";
  }));
}

}  // namespace serverledge
