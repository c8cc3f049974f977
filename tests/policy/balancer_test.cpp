#include "serverledge/policy/balancer.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace serverledge {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = BalancedOutcome::Kind;

constexpr TimePoint kStart = TimePoint(seconds(1000));

Peer target(const std::string& key, const std::string& arch = "amd64") {
  return {key, "ROME", "192.0.2.1", 1323, arch};
}

std::vector<Peer> targets(int count) {
  std::vector<Peer> peers;
  for (int i = 0; i < count; ++i) peers.push_back(target("node-" + std::to_string(i)));
  return peers;
}

std::string function(int number) { return "f" + std::to_string(number); }

/// A balancer, and the calls that it has placed.
struct Balancing {
  explicit Balancing(const std::vector<Peer>& peers, BalancerOptions options = {}) : balancer(options) {
    balancer.set_targets(peers);
  }
  /// The key of the target that the call goes to; empty: none. It runs until `end`.
  std::string begin(const std::string& name, const std::vector<Balancer::TargetId>& tried = {}) {
    function_name = name;
    call.function = function_name;
    const auto choice = balancer.choose(call, tried, now);
    if (!choice) return {};
    last = *choice;
    return choice->peer.key;
  }
  bool end(BalancedOutcome outcome = {}) { return balancer.ended(last.target, call, outcome, now); }
  /// The target of a call that is over at once.
  std::string place(const std::string& name) {
    std::string key = begin(name);
    if (!key.empty()) end();
    return key;
  }
  std::map<std::string, std::string> homes(int functions) {
    std::map<std::string, std::string> found;
    for (int i = 0; i < functions; ++i) found[function(i)] = place(function(i));
    return found;
  }

  Balancer balancer;
  std::string function_name;
  BalancedCall call;
  Balancer::Choice last;
  TimePoint now = kStart;
};

TEST_CASE("Calls of a function one after the other go to one target, where it is warm", "[balancer]") {
  Balancing balancing(targets(10));
  const std::string home = balancing.place("f");
  for (int i = 0; i < 100; ++i) CHECK(balancing.place("f") == home);
  // Every balancer of the area knows the same.
  std::vector<Peer> reversed = targets(10);
  std::reverse(reversed.begin(), reversed.end());
  CHECK(Balancing(reversed).place("f") == home);
}

TEST_CASE("Functions are spread over the targets evenly", "[balancer]") {
  Balancing balancing(targets(10));
  std::map<std::string, int> shares;
  for (const auto& [name, home] : balancing.homes(5000)) ++shares[home];
  REQUIRE(shares.size() == 10);
  for (const auto& [home, share] : shares) CHECK(std::abs(share - 500) < 120);
}

TEST_CASE("When a target leaves only its functions move, and they come back with it", "[balancer]") {
  Balancing balancing(targets(10));
  const auto before = balancing.homes(2000);
  std::vector<Peer> fewer = targets(10);
  fewer.erase(fewer.begin() + 3);
  balancing.balancer.set_targets(fewer);
  std::map<std::string, int> takers;
  for (const auto& [name, home] : balancing.homes(2000)) {
    if (before.at(name) == "node-3") {
      CHECK(home != "node-3");
      ++takers[home];
    } else {
      CHECK(home == before.at(name));
    }
  }
  CHECK(takers.size() == 9);  // no single one gets them all
  balancing.balancer.set_targets(targets(10));
  CHECK(balancing.homes(2000) == before);
}

TEST_CASE("A target that has moved to another address keeps its functions", "[balancer]") {
  Balancing balancing(targets(5));
  const auto before = balancing.homes(200);
  std::vector<Peer> moved = targets(5);
  moved[2].host = "192.0.2.77";
  balancing.balancer.set_targets(moved);
  CHECK(balancing.homes(200) == before);
}

TEST_CASE("No target has more calls than the bound, whatever calls and targets come and go", "[balancer]") {
  const std::uint64_t seed = GENERATE(1U, 2U, 3U, 4U, 5U);
  SeededRandom random(seed);
  const BalancerOptions options{.bound = 1.0 + random.uniform(), .spare = 1 + random.below(5)};
  Balancer balancer(options);
  std::vector<Peer> peers = targets(8);
  balancer.set_targets(peers);
  struct Running {
    Balancer::Choice choice;
    std::string function;
  };
  std::vector<Running> running;
  std::map<Balancer::TargetId, std::size_t> calls;
  const auto gone = [&](const Balancer::Choice& choice) {
    return std::find(peers.begin(), peers.end(), choice.peer) == peers.end();
  };
  for (int step = 0; step < 20'000; ++step) {
    const std::uint64_t what = random.below(100);
    if (what == 0) {
      const std::size_t at = random.below(peers.size());
      peers.size() > 2 ? (void)peers.erase(peers.begin() + static_cast<std::ptrdiff_t>(at)) : (void)0;
      balancer.set_targets(peers);
      std::erase_if(running, [&](const Running& call) { return gone(call.choice); });
    } else if (what == 1) {
      peers.push_back(target("new-" + std::to_string(step)));
      balancer.set_targets(peers);
    } else if (what < 50 && !running.empty()) {
      std::swap(running[random.below(running.size())], running.back());
      BalancedCall call;
      call.function = running.back().function;
      balancer.ended(running.back().choice.target, call, {}, kStart);
      --calls[running.back().choice.target];
      running.pop_back();
    } else {
      const std::string name = function(static_cast<int>(random.below(random.below(2) == 0 ? 2 : 50)));
      BalancedCall call;
      call.function = name;
      const double share = static_cast<double>(running.size() + 1) / static_cast<double>(peers.size());
      const auto bound = std::max(static_cast<double>(options.spare), std::ceil(options.bound * share));
      const auto choice = balancer.choose(call, {}, kStart);
      REQUIRE(choice);
      REQUIRE(static_cast<double>(++calls[choice->target]) <= bound);
      running.push_back({*choice, name});
    }
  }
}

TEST_CASE("A hot function spills over to the same targets each time, and goes home when it cools down",
          "[balancer]") {
  Balancing balancing(targets(5), {.bound = 1.25, .spare = 2});
  const std::string home = balancing.place("hot");
  std::vector<Balancer::Choice> running;
  std::vector<std::string> order;
  for (int i = 0; i < 10; ++i) {
    const std::string key = balancing.begin("hot");
    running.push_back(balancing.last);
    if (std::find(order.begin(), order.end(), key) == order.end()) order.push_back(key);
  }
  CHECK(order.front() == home);
  CHECK(order.size() >= 4);
  for (const Balancer::Choice& choice : running)
    balancing.balancer.ended(choice.target, balancing.call, {}, balancing.now);
  CHECK(balancing.place("hot") == home);
  std::vector<std::string> again;
  for (int i = 0; i < 10; ++i) {
    const std::string key = balancing.begin("hot");
    if (std::find(again.begin(), again.end(), key) == again.end()) again.push_back(key);
  }
  CHECK(again == order);
}

TEST_CASE("A target that failed is left out until it is heard of, and is tried if there is no other",
          "[balancer]") {
  Balancing balancing(targets(2));
  const std::string home = balancing.begin("f");
  const Balancer::TargetId failed = balancing.last.target;
  CHECK(balancing.end({.kind = Kind::kFailed, .available = {}}));
  CHECK(balancing.balancer.any_up());
  const std::string other = balancing.place("f");
  CHECK(other != home);
  CHECK(balancing.balancer.next({})->peer.key == other);
  CHECK(balancing.balancer.next({})->peer.key == other);
  CHECK(balancing.begin("f") == other);
  CHECK(balancing.end({.kind = Kind::kFailed, .available = {}}));
  CHECK_FALSE(balancing.balancer.any_up());
  CHECK(balancing.begin("f") == home);                                   // rather than nothing
  CHECK_FALSE(balancing.end({.kind = Kind::kFailed, .available = {}}));  // that was known
  CHECK(balancing.balancer.probed(failed, true, balancing.now));
  CHECK(balancing.place("f") == home);
}

TEST_CASE("A target that was tried is not chosen again", "[balancer]") {
  Balancing balancing(targets(3));
  std::vector<Balancer::TargetId> tried;
  std::set<std::string> keys;
  for (int i = 0; i < 3; ++i) {
    keys.insert(balancing.begin("f", tried));
    tried.push_back(balancing.last.target);
  }
  CHECK(keys.size() == 3);
  CHECK(balancing.begin("f", tried).empty());
  CHECK_FALSE(balancing.balancer.next(tried));
}

TEST_CASE("A function is not offered for a second to a target that refused it, others are", "[balancer]") {
  Balancing balancing(targets(4));
  const auto before = balancing.homes(100);
  const std::string home = balancing.begin("f7");
  balancing.end({.kind = Kind::kRefused, .available = {}});
  CHECK(balancing.place("f7") != home);
  for (const auto& [name, place] : balancing.homes(100)) {
    if (name != "f7") CHECK(place == before.at(name));
  }
  balancing.now += milliseconds(1001);
  CHECK(balancing.place("f7") == home);
}

TEST_CASE("A call goes where it fits, as far as the targets have told lately", "[balancer]") {
  Balancing balancing(targets(3));
  balancing.call.demand = {256, 0};
  const std::string home = balancing.begin("f");
  balancing.end({.kind = Kind::kAnswered, .available = Resources{512, 4000}});
  CHECK(balancing.begin("f") == home);
  CHECK(balancing.begin("f") == home);
  const Balancer::Choice there = balancing.last;
  CHECK(balancing.begin("f") != home);  // two of 256 MB are on their way there
  const std::string second = balancing.last.peer.key;
  balancing.end();
  balancing.last = there;
  balancing.end({.kind = Kind::kAnswered, .available = Resources{100, 4000}});
  CHECK(balancing.place("f") == second);
  balancing.now += seconds(3);  // that is old news
  CHECK(balancing.place("f") == home);
}

TEST_CASE("Only targets of the function's architectures are chosen", "[balancer]") {
  Balancing balancing({target("a"), target("b", "arm64"), target("c")});
  const std::vector<std::string> arm{"arm64"};
  const std::vector<std::string> none{"riscv64"};
  balancing.call.archs = arm;
  for (int i = 0; i < 20; ++i) CHECK(balancing.place(function(i)) == "b");
  CHECK(balancing.begin("hot") == "b");
  for (int i = 0; i < 20; ++i) CHECK(balancing.begin("hot") == "b");  // there is no other to spill over to
  balancing.call.archs = none;
  CHECK(balancing.place("f").empty());
}

TEST_CASE("What any target can answer goes to one after the other", "[balancer]") {
  Balancing balancing(targets(3));
  std::map<std::string, int> shares;
  for (int i = 0; i < 30; ++i) ++shares[balancing.balancer.next({})->peer.key];
  CHECK(shares == std::map<std::string, int>{{"node-0", 10}, {"node-1", 10}, {"node-2", 10}});
}

TEST_CASE(
    "Without targets there is no choice, and what ends late harms nothing (known defect 3.2 lb/types.go)",
    "[balancer]") {
  Balancing balancing({});
  CHECK(balancing.begin("f").empty());
  CHECK_FALSE(balancing.balancer.next({}));
  CHECK_FALSE(balancing.balancer.any_up());
  balancing.balancer.set_targets(targets(1));
  REQUIRE(balancing.begin("f") == "node-0");  // whose status nobody has ever read
  balancing.balancer.set_targets({});
  CHECK_FALSE(balancing.end({.kind = Kind::kFailed, .available = {}}));
  CHECK_FALSE(balancing.balancer.probed(balancing.last.target, false, balancing.now));
  CHECK(balancing.balancer.next_probe() == TimePoint::max());
}

TEST_CASE("A target is asked whether it is there when it has said nothing for a while", "[balancer]") {
  Balancing balancing(targets(1), {.silence = milliseconds(400)});
  Balancer& balancer = balancing.balancer;
  const auto first = balancer.due_probe(balancing.now);
  REQUIRE(first);  // it has never said anything
  CHECK_FALSE(balancer.due_probe(balancing.now));
  CHECK_FALSE(balancer.probed(first->target, true, balancing.now));
  CHECK_FALSE(balancer.due_probe(balancing.now + milliseconds(399)));
  CHECK(balancer.next_probe() == balancing.now + milliseconds(400));
  balancing.now += milliseconds(300);
  balancing.place("f");  // an answer is news as well
  CHECK_FALSE(balancer.due_probe(balancing.now + milliseconds(399)));
  balancing.now += milliseconds(400);
  REQUIRE(balancer.due_probe(balancing.now));
  CHECK(balancer.probed(first->target, false, balancing.now));
  CHECK_FALSE(balancer.any_up());
  CHECK_FALSE(balancer.due_probe(balancing.now + milliseconds(399)));
  REQUIRE(balancer.due_probe(balancing.now + milliseconds(400)));
  CHECK(balancer.probed(first->target, true, balancing.now + milliseconds(500)));
  CHECK(balancer.any_up());
}

TEST_CASE("A target that answered a call while a question was open is not left out for the latter",
          "[balancer]") {
  Balancing balancing(targets(1));
  const auto question = balancing.balancer.due_probe(balancing.now);
  balancing.now += milliseconds(100);
  balancing.place("f");
  CHECK_FALSE(balancing.balancer.probed(question->target, false, balancing.now + milliseconds(400)));
  CHECK(balancing.balancer.any_up());
}

}  // namespace
}  // namespace serverledge
