#include "cluster/function_copy.hpp"

#include <catch2/catch.hpp>
#include <deque>
#include <map>

#include "serverledge/core/clock.hpp"

namespace serverledge {
namespace {

FunctionPtr function(const std::string& name, std::uint64_t revision) {
  Function made;
  made.name = name;
  made.revision = revision;
  return std::make_shared<const Function>(made);
}

std::uint64_t revision_of(const FunctionCopy& copy, const std::string& name) {
  const FunctionPtr found = copy.find(name);
  return found ? found->revision : 0;
}

TEST_CASE("What this node wrote is seen at once, and older news from the watch do not undo it",
          "[function_copy]") {
  FunctionCopy copy;
  copy.told_all({}, 4);
  copy.ahead("f", function("f", 5), 5);
  copy.ahead("f", nullptr, 6);
  copy.told("f", function("f", 5), 5);
  CHECK(revision_of(copy, "f") == 0);
  copy.ahead("f", function("f", 7), 7);
  copy.told("f", nullptr, 6);
  CHECK(revision_of(copy, "f") == 7);
  copy.told_all({{"g", function("g", 3)}}, 6);
  CHECK(revision_of(copy, "f") == 7);
  CHECK(revision_of(copy, "g") == 3);
  copy.told("f", function("f", 7), 7);
  copy.told("f", nullptr, 8);
  CHECK(revision_of(copy, "f") == 0);
}

TEST_CASE("News that the watch has told already is not brought back by a late writer", "[function_copy]") {
  FunctionCopy copy;
  copy.told("f", function("f", 5), 5);
  copy.told("f", nullptr, 6);
  copy.ahead("f", function("f", 5), 5);
  CHECK(revision_of(copy, "f") == 0);
}

TEST_CASE("A store that lost its data is believed", "[function_copy]") {
  FunctionCopy copy;
  copy.told_all({{"f", function("f", 900)}, {"g", function("g", 901)}}, 1000);
  copy.told_all({{"g", function("g", 2)}}, 3);
  CHECK(revision_of(copy, "f") == 0);
  CHECK(revision_of(copy, "g") == 2);
  copy.told("h", function("h", 4), 4);
  CHECK(revision_of(copy, "h") == 4);
}

TEST_CASE("A listener is told of what there is, then of each change once and before it can be found",
          "[function_copy]") {
  FunctionCopy copy;
  copy.told_all({{"a", function("a", 1)}, {"b", function("b", 2)}}, 2);
  std::vector<std::string> told;
  copy.on_change([&](const std::string& name, const FunctionPtr& now) {
    told.push_back(name + std::to_string(now ? now->revision : 0));
    if (now && now->revision > 2) CHECK(revision_of(copy, name) != now->revision);
  });
  copy.ahead("c", function("c", 3), 3);
  copy.told("c", function("c", 3), 3);
  copy.told("a", nullptr, 4);
  copy.told("none", nullptr, 5);
  copy.told_all({{"c", function("c", 3)}, {"d", function("d", 6)}}, 6);
  CHECK(told == std::vector<std::string>{"a1", "b2", "c3", "a0", "b0", "d6"});
  copy.on_change({});
  copy.told("d", nullptr, 7);
  CHECK(told.size() == 6);
}

// A store with a few names and a watch that lags behind by a random distance and sometimes begins anew. Two
// writers apply what they wrote late and in any order.
TEST_CASE("However writes, look-ups and the watch interleave, the copy ends as the store is",
          "[function_copy][property]") {
  const std::uint64_t first = entropy();
  for (std::uint64_t seed = first; seed < first + 300; ++seed) {
    INFO("seed " << seed);
    SeededRandom random(seed);
    FunctionCopy copy;
    FunctionCopy::Functions told;
    copy.on_change([&](const std::string& name, const FunctionPtr& now) {
      if (now) {
        told.insert_or_assign(name, now);
      } else {
        told.erase(name);
      }
    });
    struct Change {
      std::string name;
      FunctionPtr now;
      std::uint64_t revision;
    };
    std::map<std::string, FunctionPtr> store;
    std::deque<Change> watch;
    std::deque<Change> late;
    std::map<std::string, std::uint64_t> own;  // the last revision that this node applied itself
    std::uint64_t revision = 0;
    const auto apply = [&](const Change& change) {
      copy.ahead(change.name, change.now, change.revision);
      own[change.name] = std::max(own[change.name], change.revision);
    };
    for (int step = 0; step < 200; ++step) {
      const std::string name(1, static_cast<char>('a' + random.below(4)));
      switch (random.below(6)) {
        case 0:
        case 1: {  // somebody changes it; perhaps this node
          ++revision;
          store[name] = random.below(3) == 0 ? nullptr : function(name, revision);
          watch.push_back({name, store[name], revision});
          const auto who = random.below(3);
          if (who == 0) apply(watch.back());
          if (who == 1) late.push_back(watch.back());
          break;
        }
        case 2:
          if (!late.empty()) {
            const auto which = static_cast<std::ptrdiff_t>(random.below(late.size()));
            apply(late[static_cast<std::size_t>(which)]);
            late.erase(late.begin() + which);
          }
          break;
        case 3:
        case 4:
          if (!watch.empty()) {
            copy.told(watch.front().name, watch.front().now, watch.front().revision);
            watch.pop_front();
          }
          break;
        default:
          if (random.below(5) == 0) {
            FunctionCopy::Functions all;
            for (const auto& [key, now] : store) {
              if (now) all.emplace(key, now);
            }
            watch.clear();
            copy.told_all(all, revision);
          }
      }
      for (const auto& [key, at] : own) {
        const FunctionPtr found = copy.find(key);
        if (found) REQUIRE(found->revision >= at);
      }
      REQUIRE(told == *copy.all());
    }
    for (const Change& change : late) apply(change);
    for (const Change& change : watch) copy.told(change.name, change.now, change.revision);
    for (const auto& [name, now] : store) REQUIRE(copy.find(name) == now);
  }
}

}  // namespace
}  // namespace serverledge
