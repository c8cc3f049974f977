#include "serverledge/cluster/stored_results.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "cluster/faulty_store.hpp"
#include "cluster/open_embedded.hpp"
#include "cluster/recording_observer.hpp"
#include "support/manual_clock.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge {
namespace {

using namespace std::chrono_literals;
using test::FaultyStore;
using test::kAway;
using test::ManualClock;
using test::open_embedded;
using test::RecordingObserver;
using test::TemporaryFolder;
using State = ResultStore::State;

/// Results on a store, in memory if not in a folder, that fails when told to.
struct ResultsOnStore {
  explicit ResultsOnStore(const std::string& path = ":memory:") {
    store = open_embedded(path, clock);
    faulty.emplace(*store);
    results.emplace(*faulty, clock, observer, 1800s);
  }
  State state(std::string_view id) {
    const auto found = results->find(id);
    REQUIRE(found);
    return found->state;
  }
  std::string answer(std::string_view id) {
    const auto found = results->find(id);
    REQUIRE(found);
    REQUIRE(found->state == State::kReady);
    return found->answer;
  }

  ManualClock clock;
  std::unique_ptr<KeyValueStore> store;
  std::optional<FaultyStore> faulty;
  RecordingObserver observer;
  std::optional<StoredResults> results;
};

TEST_CASE("A call is unknown, then pending, then its answer is there until its time is over",
          "[stored_results]") {
  ResultsOnStore fixture;
  CHECK(fixture.state("f-1") == State::kUnknown);
  fixture.results->accepted("f-1");
  CHECK(fixture.state("f-1") == State::kPending);
  fixture.results->publish("f-1", R"({"Success":true})");
  CHECK(fixture.answer("f-1") == R"({"Success":true})");
  CHECK(fixture.store->get("async/f-1")->value().value == R"({"Success":true})");
  fixture.clock.advance(1799s);
  CHECK(fixture.answer("f-1") == R"({"Success":true})");
  fixture.clock.advance(1s);
  CHECK(fixture.state("f-1") == State::kUnknown);
}

TEST_CASE("After a restart answers are there, and calls that were pending are unknown", "[stored_results]") {
  const TemporaryFolder folder;
  {
    ResultsOnStore before(folder.file("store"));
    before.results->accepted("done");
    before.results->accepted("running");
    before.results->publish("done", "answer");
  }
  ResultsOnStore after(folder.file("store"));
  CHECK(after.answer("done") == "answer");
  CHECK(after.state("running") == State::kUnknown);
}

TEST_CASE("While the store is away answers wait here, can be polled, and are stored when it is back",
          "[stored_results]") {
  ResultsOnStore fixture;
  for (const char* id : {"1", "2", "3"}) fixture.results->accepted(id);
  fixture.faulty->fail_with(kAway);
  fixture.results->publish("1", "one");
  fixture.results->publish("2", "two");
  CHECK(fixture.answer("1") == "one");
  CHECK(fixture.state("3") == State::kPending);
  CHECK(fixture.results->find("other").error().code == ErrorCode::kUnavailable);
  fixture.results->pump(fixture.clock.now());
  CHECK(fixture.results->waiting() == 2);

  fixture.clock.advance(800s);
  fixture.faulty->fail_with(std::nullopt);
  fixture.results->pump(fixture.clock.now());
  CHECK(fixture.results->waiting() == 0);
  CHECK(fixture.store->get("async/1")->value().value == "one");
  CHECK(fixture.answer("2") == "two");
  fixture.clock.advance(1000s);  // what it waited counts
  CHECK(fixture.state("1") == State::kUnknown);
}

TEST_CASE("A full disk loses no answer", "[stored_results]") {
  ResultsOnStore fixture;
  fixture.faulty->fail_with(Error{ErrorCode::kDiskFull, "no space left", {}});
  fixture.results->accepted("1");
  fixture.results->publish("1", "one");
  CHECK(fixture.answer("1") == "one");
  CHECK(fixture.observer.lines() == std::vector<std::string>{"result_waits_for_store reason=no space left"});
  fixture.faulty->fail_with(std::nullopt);
  fixture.results->pump(fixture.clock.now());
  CHECK(fixture.results->waiting() == 0);
  CHECK(fixture.answer("1") == "one");
}

TEST_CASE("An answer that no store takes stays for its time and holds up no other", "[stored_results]") {
  ResultsOnStore fixture;
  fixture.faulty->fail_with(Error{ErrorCode::kTooLarge, "too large", {}});
  fixture.results->publish("large", "answer");
  fixture.faulty->fail_with(kAway);
  fixture.results->publish("other", "answer");
  fixture.faulty->fail_writes_after(0, Error{ErrorCode::kTooLarge, "too large", {}});
  fixture.results->pump(fixture.clock.now());
  CHECK(fixture.results->waiting() == 2);
  fixture.clock.advance(1800s);
  CHECK(fixture.state("large") == State::kUnknown);
  fixture.results->pump(fixture.clock.now());
  CHECK(fixture.results->waiting() == 0);
}

TEST_CASE("What waits is bounded: the oldest answers go first, and that is logged", "[stored_results]") {
  ResultsOnStore fixture;
  fixture.faulty->fail_with(kAway);
  for (int i = 0; i < 10'003; ++i) fixture.results->publish(std::to_string(i), "answer");
  CHECK(fixture.results->waiting() == 10'000);
  CHECK(fixture.answer("10002") == "answer");
  CHECK(fixture.results->find("2").error().code == ErrorCode::kUnavailable);
  const auto lines = fixture.observer.lines();
  REQUIRE(lines.size() == 3);
  CHECK_THAT(lines[0], Catch::StartsWith("result_dropped request=0"));
  for (int i = 0; i < 10; ++i)
    fixture.results->publish("big" + std::to_string(i), std::string(40 << 20, 'x'));
  CHECK(fixture.results->waiting() == 6);
}

TEST_CASE("A poll at any moment never finds an accepted call unknown, also while the store comes and goes",
          "[stored_results]") {
  ResultsOnStore fixture;
  std::atomic<bool> over = false;
  std::jthread weather([&] {
    bool away = false;
    while (!over) {
      away = !away;
      fixture.faulty->fail_with(away ? std::optional(Error{ErrorCode::kDiskFull, "full", {}}) : std::nullopt);
      fixture.results->pump(fixture.clock.now());
      std::this_thread::yield();
    }
  });
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> callers;
    for (int caller = 0; caller < 4; ++caller) {
      callers.emplace_back([&, caller] {
        for (int i = 0; i < 500; ++i) {
          const std::string id = std::to_string(caller) + "-" + std::to_string(i);
          fixture.results->accepted(id);
          std::jthread poller([&] {
            State last = State::kPending;
            while (last != State::kReady) {
              const auto found = fixture.results->find(id);
              if (!found || found->state == State::kUnknown) ++wrong;
              if (found && found->state == State::kReady && found->answer != id) ++wrong;
              if (wrong > 0) return;
              last = found->state;
            }
          });
          fixture.results->publish(id, id);
        }
      });
    }
  }
  over = true;
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace serverledge
