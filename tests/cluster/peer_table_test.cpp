#include "serverledge/cluster/peer_table.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <set>

#include "support/manual_clock.hpp"

namespace serverledge::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Registration registration(const std::string& key, const std::string& area = "ROME",
                          const std::string& arch = "amd64") {
  return {{key, area, "192.0.2." + std::to_string(key.back() - 'a' + 1), 1323, arch}, 9876};
}

StatusReport status(std::int64_t available = 1024, double where = 0) {
  StatusReport report;
  report.total = {1024, 4000};
  report.available = {available, 4000};
  report.coordinates.vec = {where, 0, 0};
  return report;
}

struct KnownPeers {
  explicit KnownPeers(std::size_t neighbours = 2)
      : table({.key = "self", .area = "ROME", .neighbours = neighbours}, clock, 1) {}

  /// Asks all who are due, and answers for those that `reports` has, each after its round trip.
  std::set<std::string> round(const std::map<std::string, StatusReport>& reports = {},
                              Duration round_trip = milliseconds(5)) {
    const auto questions = table.due(clock.now(), 1000);
    clock.advance(round_trip);
    std::set<std::string> asked;
    for (const auto& question : questions) {
      asked.insert(question.host);
      const auto report = reports.find(question.host);
      if (report != reports.end()) table.answered(question.peer, report->second, clock.now());
    }
    return asked;
  }
  std::vector<std::string> neighbours() const {
    std::vector<std::string> keys;
    const auto peers = table.peers();
    for (const PeerView& view : peers->neighbours) keys.push_back(view.peer.key);
    return keys;
  }
  std::vector<std::string> cloud() const {
    std::vector<std::string> keys;
    const auto peers = table.peers();
    for (const PeerView& view : peers->cloud) keys.push_back(view.peer.key);
    return keys;
  }
  Invocation call(const std::string& function) const {
    auto record = std::make_shared<Function>();
    record->name = function;
    Invocation invocation;
    invocation.function = record;
    return invocation;
  }

  ManualClock clock;
  PeerTable table;
};

TEST_CASE("With three and more nodes the nearest ones are the neighbours (known defect 4)", "[peers]") {
  KnownPeers rig;
  rig.table.set_members({{registration("a"), registration("b"), registration("c"), registration("d")}, {}},
                        {});
  CHECK(rig.neighbours().empty());  // of nobody is anything known
  rig.round({{"192.0.2.1", status(1024, 0.3)},
             {"192.0.2.2", status(1024, 0.1)},
             {"192.0.2.3", status(1024, 0.2)},
             {"192.0.2.4", status(1024, 0.4)}});
  CHECK(rig.neighbours() == std::vector<std::string>{"b", "c"});
}

TEST_CASE("When as many questions are open as may be, an answer makes room for the next one", "[peers]") {
  KnownPeers rig;
  rig.table.set_members({{registration("a"), registration("b"), registration("c")}, {}}, {});
  const auto first = rig.table.due(rig.clock.now(), 2);
  REQUIRE(first.size() == 2);
  CHECK(rig.table.next_due() == later(rig.clock.now(), seconds(1)));  // until one of them is given up
  rig.clock.advance(milliseconds(5));
  rig.table.answered(first[0].peer, status(), rig.clock.now());
  CHECK(rig.table.next_due() <= rig.clock.now());
  const auto second = rig.table.due(rig.clock.now(), 2);
  REQUIRE(second.size() == 1);
  CHECK(second[0].host != first[0].host);
  CHECK(second[0].host != first[1].host);
}

TEST_CASE("A node is no neighbour of itself", "[peers]") {
  KnownPeers rig;
  rig.table.set_members({{registration("self"), registration("a")}, {}}, {});
  CHECK(rig.round({{"192.0.2.1", status()}}).size() == 1);
  CHECK(rig.neighbours() == std::vector<std::string>{"a"});
}

TEST_CASE("Each architecture has its nearest neighbours", "[peers]") {
  KnownPeers rig(1);
  rig.table.set_members({{registration("a"), registration("b"), registration("c", "ROME", "arm64")}, {}}, {});
  rig.round(
      {{"192.0.2.1", status(1024, 0.1)}, {"192.0.2.2", status(1024, 0.2)}, {"192.0.2.3", status(1024, 0.9)}});
  CHECK(rig.neighbours() == std::vector<std::string>{"a", "c"});
}

TEST_CASE("A silent node is retried and marked, and delays no other (known defect 5)", "[peers]") {
  KnownPeers rig;
  rig.table.set_members({{registration("a"), registration("b")}, {}}, {});
  const std::map<std::string, StatusReport> all{{"192.0.2.1", status()}, {"192.0.2.2", status()}};
  const std::map<std::string, StatusReport> only_a{{"192.0.2.1", status()}};
  rig.round(all);
  CHECK(rig.neighbours().size() == 2);
  int asked_a = 0;
  int asked_b = 0;
  for (int i = 0; i < 300; ++i) {
    rig.clock.advance(milliseconds(100));
    (void)rig.neighbours();  // as a node does every second, and with each call
    const auto asked = rig.round(only_a);
    asked_a += static_cast<int>(asked.count("192.0.2.1"));
    asked_b += static_cast<int>(asked.count("192.0.2.2"));
  }
  CHECK(asked_a >= 5);  // after its first interval every other second, whatever b does
  CHECK(asked_b >= 5);
  CHECK(asked_b < 20);
  CHECK(rig.neighbours() == std::vector<std::string>{"a"});
  for (int i = 0; i < 300; ++i) {
    rig.clock.advance(milliseconds(100));
    rig.round(all);
  }
  CHECK(rig.neighbours().size() == 2);  // it is back
}

TEST_CASE("Losing a third of the datagrams costs no neighbour", "[peers]") {
  KnownPeers rig;
  rig.table.set_members({{registration("a")}, {}}, {});
  SeededRandom chance(3);
  int missing = 0;
  rig.round({{"192.0.2.1", status()}});
  for (int i = 0; i < 2000; ++i) {
    rig.clock.advance(milliseconds(100));
    const bool lost = chance.uniform() < 0.51;  // the question or its answer
    rig.round(lost ? std::map<std::string, StatusReport>{}
                   : std::map{std::pair{std::string("192.0.2.1"), status()}});
    missing += rig.neighbours().empty() ? 1 : 0;
  }
  CHECK(missing < 200);
}

TEST_CASE("A late answer is news, but measures nothing", "[peers]") {
  KnownPeers rig;
  rig.table.set_members({{registration("a")}, {}}, {});
  const auto first = rig.table.due(rig.clock.now(), 10);
  REQUIRE(first.size() == 1);
  rig.clock.advance(seconds(2));
  const auto second = rig.table.due(rig.clock.now(), 10);
  REQUIRE(second.size() == 1);
  rig.clock.advance(milliseconds(1));  // the answer to the first question
  rig.table.answered(first[0].peer, status(), rig.clock.now());
  CHECK(rig.neighbours() == std::vector<std::string>{"a"});
  CHECK(rig.table.peers()->neighbours[0].round_trip == Duration::zero());
  CHECK(rig.table.coordinates() == Coordinates());
  rig.clock.advance(seconds(30));
  rig.round({{"192.0.2.1", status()}}, milliseconds(7));
  CHECK(rig.table.peers()->neighbours[0].round_trip == milliseconds(7));
  CHECK_FALSE(rig.table.coordinates() == Coordinates());
}

TEST_CASE("The news of a node are as old as this node's clock says, whatever its wall clock does",
          "[peers]") {
  KnownPeers rig;
  rig.table.set_members({{registration("a")}, {}}, {});
  StatusReport report = status();
  report.last_update = 4'000'000'000;
  rig.round({{"192.0.2.1", report}});
  rig.clock.advance(seconds(3));
  CHECK(rig.clock.now() - rig.table.peers()->neighbours[0].heard == seconds(3));
}

TEST_CASE("No more questions are open than allowed", "[peers]") {
  KnownPeers rig;
  AreaMembers members;
  for (int i = 0; i < 200; ++i) {
    members.nodes.push_back(
        {{"n" + std::to_string(i), "ROME", "198.51.100." + std::to_string(i), 1, "amd64"}, 1});
  }
  rig.table.set_members(members, {});
  CHECK(rig.table.due(rig.clock.now(), 64).size() == 64);
  CHECK(rig.table.due(rig.clock.now(), 64).empty());
  CHECK(rig.table.next_due() == rig.clock.now() + seconds(1));
  rig.clock.advance(seconds(1));
  CHECK(rig.table.due(rig.clock.now(), 64).size() == 64);
}

TEST_CASE("A node that comes back with another address is followed", "[peers]") {
  KnownPeers rig;
  rig.table.set_members({{registration("a")}, {}}, {});
  rig.round({{"192.0.2.1", status()}});
  REQUIRE(rig.neighbours().size() == 1);
  Registration moved = registration("a");
  moved.peer.host = "192.0.2.77";
  rig.table.set_members({{moved}, {}}, {});
  CHECK(rig.neighbours().empty());  // of the new place nothing is known
  CHECK(rig.round({{"192.0.2.77", status()}}) == std::set<std::string>{"192.0.2.77"});
  CHECK(rig.table.peers()->neighbours.at(0).peer.host == "192.0.2.77");
}

TEST_CASE("What a call sent there needs is counted until news comes", "[peers]") {
  KnownPeers rig;
  rig.table.set_members({{registration("a")}, {}}, {});
  rig.round({{"192.0.2.1", status(512)}});
  const Peer a = registration("a").peer;
  const std::uint64_t call = rig.table.forwarding(a, {128, 1000});
  CHECK(rig.table.peers()->neighbours[0].available == Resources{384, 3000});
  rig.table.forwarded(a, call,
                      {.answered = true, .function = "f", .load_known = true, .available = {300, 2000}});
  CHECK(rig.table.peers()->neighbours[0].available == Resources{300, 2000});
}

TEST_CASE("A node that failed is avoided for a while, the next nearest takes its place", "[peers]") {
  KnownPeers rig(1);
  rig.table.set_members({{registration("a"), registration("b")}, {}}, {});
  const std::map<std::string, StatusReport> all{{"192.0.2.1", status(1024, 0.1)},
                                                {"192.0.2.2", status(1024, 0.2)}};
  rig.round(all);
  CHECK(rig.neighbours() == std::vector<std::string>{"a"});
  const Peer a = registration("a").peer;
  rig.table.failed(a, rig.call("f"), {ErrorCode::kUnavailable, "refused", ""});
  CHECK(rig.neighbours() == std::vector<std::string>{"a", "b"});
  CHECK(rig.table.peers()->neighbours[0].avoided(rig.clock.now()));
  CHECK_FALSE(rig.table.peers()->neighbours[1].avoided(rig.clock.now()));
  rig.clock.advance(seconds(3));
  rig.round(all);
  CHECK(rig.neighbours() == std::vector<std::string>{"a"});
}

TEST_CASE("A node is avoided longer each time it fails, until it answers", "[peers]") {
  KnownPeers rig;
  rig.table.set_members({{registration("a")}, {}}, {});
  rig.round({{"192.0.2.1", status()}});
  const Peer a = registration("a").peer;
  const auto avoidance = [&] {
    rig.table.failed(a, rig.call("f"), {ErrorCode::kUnknownOutcome, "no answer", ""});
    return rig.table.peers()->neighbours[0].avoid_until - rig.clock.now();
  };
  CHECK(avoidance() == seconds(2));
  CHECK(avoidance() == seconds(4));
  for (int i = 0; i < 10; ++i) (void)avoidance();
  CHECK(avoidance() == seconds(60));
  rig.table.forwarded(a, rig.table.forwarding(a, {}),
                      {.answered = true, .function = "f", .load_known = false, .available = {}});
  CHECK_FALSE(rig.table.peers()->neighbours[0].avoided(rig.clock.now()));
  CHECK(avoidance() == seconds(2));
}

TEST_CASE("A node that refused one function is asked for others", "[peers]") {
  KnownPeers rig;
  rig.table.set_members({{registration("a")}, {}}, {});
  rig.round({{"192.0.2.1", status()}});
  rig.table.failed(registration("a").peer, rig.call("f"), {ErrorCode::kNoResources, "429", ""});
  const auto view = rig.table.peers()->neighbours.at(0);
  CHECK(view.refuses("f", rig.clock.now()));
  CHECK_FALSE(view.refuses("g", rig.clock.now()));
  CHECK_FALSE(view.avoided(rig.clock.now()));
  CHECK_FALSE(view.refuses("f", rig.clock.now() + seconds(1)));
}

TEST_CASE("A caller that hung up says nothing of the node", "[peers]") {
  KnownPeers rig;
  rig.table.set_members({{registration("a")}, {}}, {});
  rig.round({{"192.0.2.1", status()}});
  rig.table.failed(registration("a").peer, rig.call("f"), {ErrorCode::kCancelled, "", ""});
  CHECK_FALSE(rig.table.peers()->neighbours.at(0).avoided(rig.clock.now()));
}

TEST_CASE("A node that takes calls and works on none is avoided", "[peers]") {
  KnownPeers rig;
  rig.table.set_members({{registration("a")}, {}}, {});
  const Peer a = registration("a").peer;
  rig.round({{"192.0.2.1", status()}});
  rig.table.forwarding(a, {128, 0});
  std::int64_t available = 1024;  // it says that it has nothing to do
  SECTION("which it is not while it works") { available = 896; }
  for (int i = 0; i < 12; ++i) {
    rig.clock.advance(seconds(1));
    rig.round({{"192.0.2.1", status(available)}});
  }
  CHECK(rig.table.peers()->neighbours.at(0).avoided(rig.clock.now()) == (available == 1024));
}

TEST_CASE(
    "The cloud is a balancer if there is one, else its nodes, and goes when its area is empty (known defect "
    "25)",
    "[peers]") {
  KnownPeers rig;
  rig.table.set_members(
      {}, {{registration("a", "CLOUD"), registration("b", "CLOUD")}, {registration("z", "CLOUD")}});
  CHECK(rig.cloud() == std::vector<std::string>{"z"});
  rig.table.set_members({}, {{registration("a", "CLOUD"), registration("b", "CLOUD")}, {}});
  CHECK(rig.cloud().size() == 2);  // usable before anything is known of them
  CHECK_FALSE(rig.table.peers()->cloud[0].known());
  rig.round({{"192.0.2.1", status(100)}, {"192.0.2.2", status(900)}});
  CHECK(rig.cloud() == std::vector<std::string>{"b", "a"});
  CHECK(rig.table.coordinates() == Coordinates());  // neighbours are those of the own area
  rig.table.set_members({}, {});
  CHECK(rig.cloud().empty());
}

TEST_CASE("While no balancer of the cloud takes calls, its nodes are there too", "[peers]") {
  KnownPeers rig;
  rig.table.set_members(
      {}, {{registration("a", "CLOUD")}, {registration("y", "CLOUD"), registration("z", "CLOUD")}});
  const Peer y = registration("y", "CLOUD").peer;
  const Peer z = registration("z", "CLOUD").peer;
  rig.table.failed(y, rig.call("f"), {ErrorCode::kUnavailable, "refused", {}});
  CHECK(rig.cloud() == std::vector<std::string>{"y", "z"});
  rig.table.failed(z, rig.call("f"), {ErrorCode::kUnavailable, "refused", {}});
  CHECK(rig.cloud() == std::vector<std::string>{"y", "z", "a"});
  const auto cloud = rig.table.peers()->cloud;
  CHECK(cloud[0].avoided(rig.clock.now()));
  CHECK_FALSE(cloud[2].avoided(rig.clock.now()));
  rig.clock.advance(seconds(10));  // also when it is time to try them again
  CHECK(rig.cloud() == std::vector<std::string>{"y", "z", "a"});
  PeerTable::Forwarded good;
  good.answered = true;
  good.function = "f";
  rig.table.forwarded(z, rig.table.forwarding(z, {}), good);
  CHECK(rig.cloud() == std::vector<std::string>{"y", "z"});
}

}  // namespace
}  // namespace serverledge::test
