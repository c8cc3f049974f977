// What every store does: compiled once for each of them.
#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <map>
#include <thread>

#include "cluster/recording_listener.hpp"
#include "cluster/store_under_test.hpp"

namespace serverledge {
namespace {

using namespace std::chrono_literals;
using test::open_store;
using test::RecordingListener;
using test::value_of;
using Lines = std::vector<std::string>;

TEST_CASE("What is put can be read, listed by prefix in order, and removed", "[store]") {
  const auto store = open_store();
  REQUIRE(store->put("/function/b", "2"));
  REQUIRE(store->put("/function/a", "1"));
  REQUIRE(store->put("/functionx", "other"));
  REQUIRE(store->put("/functio", "other"));
  CHECK(value_of(*store, "/function/a") == "1");
  CHECK(value_of(*store, "/function/c") == std::nullopt);

  const auto listed = store->list("/function/");
  REQUIRE(listed);
  REQUIRE(listed->size() == 2);
  CHECK((*listed)[0].key == "/function/a");
  CHECK((*listed)[1].value == "2");
  CHECK(*store->keys("/function") == std::vector<std::string>{"/function/a", "/function/b", "/functionx"});
  CHECK(store->keys("")->size() == 4);

  const auto removed = store->remove("/function/a");
  REQUIRE(removed);
  CHECK(removed->has_value());
  CHECK(value_of(*store, "/function/a") == std::nullopt);
  CHECK_FALSE(store->remove("/function/a")->has_value());
  CHECK(store->healthy());
}

TEST_CASE("Keys and values are bytes: empty values, NUL and 0xff come back as they were", "[store]") {
  const auto store = open_store();
  const std::string key("k\0\xff", 3);
  const std::string value("\0\xff\0", 3);
  REQUIRE(store->put(key, value));
  REQUIRE(store->put("\xff\xff", "last"));
  REQUIRE(store->put("empty", ""));
  CHECK(value_of(*store, key) == value);
  CHECK(value_of(*store, "empty") == "");
  CHECK(store->keys(std::string_view("k\0", 2))->size() == 1);
  CHECK(store->keys("\xff")->size() == 1);
}

TEST_CASE("Of 50 concurrent creates of one key exactly one succeeds, the others find that it exists",
          "[store]") {
  const auto store = open_store();
  std::atomic<int> created = 0;
  std::atomic<int> existed = 0;
  std::atomic<bool> go = false;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 50; ++i) {
      threads.emplace_back([&, i] {
        go.wait(false);
        const auto result = store->create("/function/f", std::to_string(i));
        if (result) {
          ++created;
        } else if (result.error().code == ErrorCode::kExists) {
          ++existed;
        }
      });
    }
    go = true;
    go.notify_all();
  }
  CHECK(created == 1);
  CHECK(existed == 49);
}

TEST_CASE("A watch begins with all there is and then tells each change of its prefix in order", "[store]") {
  const auto store = open_store();
  REQUIRE(store->put("f/a", "1"));
  REQUIRE(store->put("g/a", "1"));
  RecordingListener listener;
  const auto watch = store->watch("f/", listener);
  REQUIRE(listener.lines(1) == Lines{"reset f/a=1"});
  REQUIRE(store->put("f/b", "2"));
  REQUIRE(store->put("g/b", "2"));
  REQUIRE(store->create("f/c", "3"));
  REQUIRE(store->create("f/c", "4").error().code == ErrorCode::kExists);
  REQUIRE(store->remove("f/a"));
  REQUIRE(store->remove("f/none"));
  REQUIRE(store->put("f/b", "5"));
  CHECK(listener.lines(5) == Lines{"reset f/a=1", "put f/b=2", "put f/c=3", "removed f/a", "put f/b=5"});
  const auto revisions = listener.revisions();
  CHECK(std::is_sorted(revisions.begin(), revisions.end()));
}

TEST_CASE("A transaction makes all its changes at one revision, and watches are told each of them",
          "[store]") {
  const auto store = open_store();
  const auto here = store->put("t/here", "1");
  REQUIRE(here);
  for (const char* key : {"t/old/a", "t/old/b", "t/oldest", "t/gone"}) REQUIRE(store->put(key, "x"));
  RecordingListener listener;
  const auto watch = store->watch("t/", listener);
  REQUIRE(listener.lines(1).size() == 1);

  const auto revision = store->commit({.conditions = {{"t/here", *here}, {"t/new", 0}},
                                       .puts = {{"t/here", "2"}, {"t/new", "3"}},
                                       .removals = {"t/gone", "t/never"},
                                       .removed_prefixes = {"t/old/", "t/none/"}});
  REQUIRE(revision);
  REQUIRE(revision->has_value());
  CHECK(*store->keys("t/") == Lines{"t/here", "t/new", "t/oldest"});
  CHECK(store->get("t/here")->value() == StoredEntry{"t/here", "2", **revision});
  CHECK(store->get("t/new")->value() == StoredEntry{"t/new", "3", **revision});

  Lines told = listener.lines(6);
  std::sort(told.begin() + 1, told.end());
  told.erase(told.begin());
  CHECK(told == Lines{"put t/here=2", "put t/new=3", "removed t/gone", "removed t/old/a", "removed t/old/b"});
  const auto revisions = listener.revisions();
  CHECK(std::all_of(revisions.begin() + 1, revisions.end(), [&](auto each) { return each == **revision; }));
  REQUIRE(store->put("t/after", ""));
  CHECK(listener.lines(7).back() == "put t/after=");
}

TEST_CASE("A transaction of which one condition does not hold changes nothing", "[store]") {
  const auto store = open_store();
  const auto first = store->put("t/a", "1");
  const auto second = store->put("t/a", "2");
  REQUIRE(second);
  const auto other = store->put("v", "3");
  using Conditions = std::vector<StoreTransaction::Condition>;
  for (const Conditions& wrong :
       {Conditions{{"t/a", *first}}, Conditions{{"t/a", 0}}, Conditions{{"t/none", *second}},
        Conditions{{"t/a", *second}, {"t/b", *second}}}) {
    const auto outcome = store->commit(
        {.conditions = wrong, .puts = {{"u", "x"}}, .removals = {"v"}, .removed_prefixes = {"t/"}});
    REQUIRE(outcome);
    CHECK_FALSE(outcome->has_value());
  }
  CHECK(store->list("").value() == std::vector<StoredEntry>{{"t/a", "2", *second}, {"v", "3", *other}});
  // What was removed and made anew is another entry.
  REQUIRE(store->remove("t/a"));
  REQUIRE(store->put("t/a", "2"));
  CHECK_FALSE(store->commit({.conditions = {{"t/a", *second}}, .puts = {{"t/b", "x"}}})->has_value());
  // An entry whose time has passed is not there.
  REQUIRE(store->put("t/short", "1", 1s));
  const TimePoint deadline = later(system_clock().now(), 60s);
  std::optional<std::uint64_t> late;
  while (!late && system_clock().now() < deadline) {
    late = store->commit({.conditions = {{"t/short", 0}}, .puts = {{"t/short", "2"}}}).value();
    std::this_thread::sleep_for(50ms);
  }
  CHECK(late.has_value());
  CHECK(value_of(*store, "t/short") == "2");
}

TEST_CASE("Threads that each count up what they have read lose no count", "[store]") {
  const auto store = open_store();
  REQUIRE(store->put("count", "0"));
  constexpr int kThreads = 6;
  constexpr int kCounts = 20;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&] {
        for (int done = 0; done < kCounts;) {
          const auto before = store->get("count");
          if (!before || !*before) return;
          const auto counted =
              store->commit({.conditions = {{"count", (*before)->revision}},
                             .puts = {{"count", std::to_string(std::stoi((*before)->value) + 1)}}});
          if (!counted) return;
          if (*counted) ++done;
        }
      });
    }
  }
  CHECK(value_of(*store, "count") == std::to_string(kThreads * kCounts));
}

TEST_CASE("Whatever is written while watches begin is told exactly once, in order", "[store]") {
  const auto store = open_store();
  std::jthread writer([&](const std::stop_token& stop) {
    for (int i = 0; !stop.stop_requested() && i < 20000; ++i) {
      static_cast<void>(store->put("n", std::to_string(i)));
    }
  });
  for (int round = 0; round < 50; ++round) {
    RecordingListener listener;
    const auto watch = store->watch("n", listener);
    listener.lines(20);
    const auto revisions = listener.revisions();
    for (std::size_t i = 1; i < revisions.size(); ++i) {
      if (listener.lines(1)[i].starts_with("put")) REQUIRE(revisions[i] == revisions[i - 1] + 1);
    }
  }
}

TEST_CASE("After the end of a watch its listener is not called, ending waits for the event that runs",
          "[store]") {
  const auto store = open_store();
  for (int round = 0; round < 200; ++round) {
    auto listener = std::make_unique<RecordingListener>();
    auto watch = store->watch("", *listener);
    REQUIRE(store->put("a", std::to_string(round)));
    if (round % 2 == 0) listener->lines(1);
    watch.reset();
    listener.reset();  // a late event would be a use after free
    REQUIRE(store->put("a", "after"));
  }
}

TEST_CASE("A listener may use the store and end its own watch", "[store]") {
  const auto store = open_store();
  RecordingListener listener;
  std::unique_ptr<KeyValueStore::Watch> watch;
  std::promise<void> given;
  std::shared_future<void> ready = given.get_future().share();
  listener.on_event = [&] {
    ready.wait();
    static_cast<void>(store->put("from the listener", "1"));
    watch.reset();
  };
  watch = store->watch("", listener);
  given.set_value();
  CHECK(listener.lines(1).size() == 1);
  REQUIRE(store->put("b", "1"));
  CHECK(store->get("from the listener")->has_value());
}

TEST_CASE("A list is complete however many and however large its entries are", "[store]") {
  const auto store = open_store();
  std::map<std::string, std::string> written;
  SeededRandom random(11);
  for (int i = 0; i < 120; ++i) {
    const std::string key = "many/" + std::to_string(1000 + i);
    written[key] =
        std::string(random.below(10) == 0 ? 1'000'000 : random.below(2000), static_cast<char>('a' + i % 26));
    REQUIRE(store->put(key, written[key]));
  }
  REQUIRE(store->put("many0", "not of it"));
  const auto listed = store->list("many/");
  REQUIRE(listed);
  REQUIRE(listed->size() == written.size());
  for (const StoredEntry& entry : *listed) CHECK((written.at(entry.key) == entry.value));
  CHECK(std::ranges::is_sorted(*listed, {}, &StoredEntry::key));
  CHECK(store->keys("many/")->size() == written.size());

  RecordingListener listener;
  const auto watch = store->watch("many/", listener);
  std::string expected = "reset";
  for (const auto& [key, value] : written) expected.append(" ").append(key).append("=").append(value);
  CHECK((listener.lines(1) == Lines{expected}));
}

// Random writes by several threads; the watch must tell a history that ends as the store does.
TEST_CASE("What a watch tells adds up to what the store holds", "[store][property]") {
  const auto store = open_store();
  class Copy final : public StoreListener {
   public:
    void reset(const std::vector<StoredEntry>& all, std::uint64_t revision) override {
      const std::scoped_lock lock(mutex);
      entries.clear();
      for (const StoredEntry& entry : all) entries[entry.key] = entry;
      grow(revision);
    }
    void put(const StoredEntry& entry) override {
      const std::scoped_lock lock(mutex);
      entries[entry.key] = entry;
      grow(entry.revision);
    }
    void removed(const std::string& key, std::uint64_t revision) override {
      const std::scoped_lock lock(mutex);
      entries.erase(key);
      grow(revision);
    }
    void grow(std::uint64_t revision) {
      ordered = ordered && revision >= last;
      last = revision;
      changed.notify_all();
    }
    std::mutex mutex;
    std::condition_variable changed;
    std::map<std::string, StoredEntry> entries;
    std::uint64_t last = 0;
    bool ordered = true;
  } copy;
  const auto watch = store->watch("p/", copy);
  const std::uint64_t seed = entropy();
  INFO("seed " << seed);
  {
    std::vector<std::jthread> writers;
    for (std::uint64_t writer = 0; writer < 3; ++writer) {
      writers.emplace_back([&, writer] {
        SeededRandom random(seed + writer);
        for (int i = 0; i < 60; ++i) {
          const std::string key = "p/" + std::to_string(random.below(6));
          switch (random.below(4)) {
            case 0:
              static_cast<void>(store->remove(key));
              break;
            case 1:
              static_cast<void>(store->create(key, std::to_string(random.next())));
              break;
            default:
              static_cast<void>(store->put(key, std::to_string(random.next())));
          }
        }
      });
    }
  }
  const auto last = store->put("p/last", "1");
  REQUIRE(last);
  std::unique_lock lock(copy.mutex);
  REQUIRE(copy.changed.wait_for(lock, 60s, [&] { return copy.last >= *last; }));
  CHECK(copy.ordered);
  const auto listed = store->list("p/");
  REQUIRE(listed);
  std::vector<StoredEntry> told;
  for (const auto& [key, entry] : copy.entries) told.push_back(entry);
  CHECK(told == *listed);
}

TEST_CASE("What is created with a ttl exists, refreshing what is not there says so", "[store]") {
  const auto store = open_store();
  REQUIRE(store->create("ttl/a", "1", 100s));
  CHECK(store->create("ttl/a", "2", 100s).error().code == ErrorCode::kExists);
  REQUIRE(store->put("ttl/b", "1", 1800s));
  REQUIRE(store->put("ttl/b", "2", 1800s));
  REQUIRE(store->put("ttl/c", "1"));
  REQUIRE(store->put("ttl/d", "1", Duration::max()));
  const auto before = store->get("ttl/a");
  for (const char* key : {"ttl/a", "ttl/b", "ttl/c", "ttl/d"}) CHECK(store->refresh(key));
  CHECK(store->get("ttl/a").value() == before.value());
  CHECK(store->refresh("ttl/none").error().code == ErrorCode::kNotFound);
  CHECK(value_of(*store, "ttl/b") == "2");
}

TEST_CASE("An entry goes when its ttl has passed, unless it is refreshed, and watches are told", "[store]") {
  const auto store = open_store();
  RecordingListener listener;
  const auto watch = store->watch("ttl/", listener);
  listener.lines(1);
  REQUIRE(store->put("ttl/short", "1", 2s));
  CHECK(listener.lines(3) == Lines{"reset", "put ttl/short=1", "removed ttl/short"});
  CHECK(value_of(*store, "ttl/short") == std::nullopt);
  CHECK(store->refresh("ttl/short").error().code == ErrorCode::kNotFound);
}

}  // namespace
}  // namespace serverledge
