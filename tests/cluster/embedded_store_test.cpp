#include "serverledge/cluster/embedded_store.hpp"

#include <sys/stat.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "cluster/open_embedded.hpp"
#include "cluster/store_under_test.hpp"
#include "support/manual_clock.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge {
namespace {

using namespace std::chrono_literals;
using test::ManualClock;
using test::open_embedded;
using test::TemporaryFolder;
using test::value_of;

TEST_CASE("Revisions grow with every change, also over a restart", "[embedded_store]") {
  const TemporaryFolder folder;
  std::uint64_t last = 0;
  for (int run = 0; run < 3; ++run) {
    const auto store = open_embedded(folder.file("store"));
    for (const auto& change : {store->put("a", "1"), store->put("a", "2"), store->put("b", "1")}) {
      REQUIRE(change);
      CHECK(*change > last);
      last = *change;
    }
    CHECK((*store->get("b"))->revision == last);
    const auto removed = store->remove("b");
    REQUIRE(removed);
    CHECK(removed->value() > last);
    last = removed->value();
  }
}

TEST_CASE("Writes that come together are all there, each with a revision of its own", "[embedded_store]") {
  const TemporaryFolder folder;
  constexpr int kThreads = 16;
  constexpr int kEach = 25;
  std::vector<std::vector<std::uint64_t>> revisions(kThreads);
  {
    const auto store = open_embedded(folder.file("store"));
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        for (int i = 0; i < kEach; ++i) {
          const auto put =
              store->put("k" + std::to_string(thread) + "/" + std::to_string(i), std::to_string(i));
          revisions[thread].push_back(put.value_or(0));
          static_cast<void>(store->get("k0/0"));
        }
      });
    }
  }
  std::vector<std::uint64_t> all;
  for (const auto& own : revisions) {
    CHECK(std::is_sorted(own.begin(), own.end()));
    all.insert(all.end(), own.begin(), own.end());
  }
  std::sort(all.begin(), all.end());
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
  CHECK(all.front() > 0);
  const auto store = open_embedded(folder.file("store"));
  CHECK(store->keys("k")->size() == kThreads * kEach);
}

TEST_CASE("A value of the code limit, 64 MB, comes back unchanged after a restart", "[embedded_store]") {
  const TemporaryFolder folder;
  std::string big(std::size_t{64} << 20, '\0');
  SeededRandom random(7);
  for (std::size_t i = 0; i + 8 <= big.size(); i += 4096) big[i] = static_cast<char>(random.next());
  {
    const auto store = open_embedded(folder.file("store"));
    REQUIRE(store->put("big", big));
    REQUIRE(store->put("small", "1"));
  }
  const auto store = open_embedded(folder.file("store"));
  CHECK((value_of(*store, "big") == big));
  CHECK(value_of(*store, "small") == "1");
}

TEST_CASE("An entry with a ttl is gone for every call once its time has passed", "[embedded_store]") {
  ManualClock clock;
  const auto store = open_embedded(":memory:", clock);
  REQUIRE(store->put("async/1", "answer", 1800s));
  REQUIRE(store->put("stays", "1"));
  clock.advance(1799s);
  CHECK(value_of(*store, "async/1") == "answer");
  CHECK(store->create("async/1", "again").error().code == ErrorCode::kExists);
  clock.advance(1s);
  CHECK(value_of(*store, "async/1") == std::nullopt);
  CHECK(store->list("async/")->empty());
  CHECK(store->keys("async/")->empty());
  CHECK(store->refresh("async/1").error().code == ErrorCode::kNotFound);
  CHECK_FALSE(store->remove("async/1")->has_value());
  REQUIRE(store->create("async/1", "new"));
  clock.advance(24h);
  CHECK(value_of(*store, "async/1") == "new");
  CHECK(value_of(*store, "stays") == "1");
}

TEST_CASE("A refresh starts the ttl anew, a put without one ends it", "[embedded_store]") {
  ManualClock clock;
  const auto store = open_embedded(":memory:", clock);
  REQUIRE(store->put("lease", "1", 120s));
  REQUIRE(store->put("plain", "1"));
  const auto revision = (*store->get("lease"))->revision;
  for (int i = 0; i < 5; ++i) {
    clock.advance(90s);
    REQUIRE(store->refresh("lease"));
  }
  CHECK((*store->get("lease"))->revision == revision);
  CHECK(store->refresh("plain"));
  CHECK(store->refresh("missing").error().code == ErrorCode::kNotFound);
  REQUIRE(store->put("lease", "2"));
  clock.advance(1000h);
  CHECK(value_of(*store, "lease") == "2");
}

TEST_CASE("The ttl is wall time: it goes on while no store is open", "[embedded_store]") {
  const TemporaryFolder folder;
  ManualClock clock;
  {
    const auto store = open_embedded(folder.file("store"), clock);
    REQUIRE(store->put("old", "1", 60s));
    REQUIRE(store->put("young", "1", 600s));
    REQUIRE(store->put("forever", "1", Duration::max()));
  }
  clock.advance(100s);
  const auto store = open_embedded(folder.file("store"), clock);
  CHECK(value_of(*store, "old") == std::nullopt);
  CHECK(value_of(*store, "young") == "1");
  CHECK(value_of(*store, "forever") == "1");
}

TEST_CASE("The folder is made with mode 0700, its files with 0600", "[embedded_store]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("a/b/store");
  const mode_t before = ::umask(0);
  ::umask(before);
  const auto store = open_embedded(path + "/");
  REQUIRE(store->put("a", "1"));
  struct stat status {};
  for (const std::string& made : {folder.file("a"), folder.file("a/b"), path}) {
    REQUIRE(::stat(made.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0700);
  }
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    INFO(entry.path());
    REQUIRE(::stat(entry.path().c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    ++files;
  }
  CHECK(files == 2);  // store.db and its log
}

TEST_CASE("A path that is a file, or empty, is refused with a sentence that names it", "[embedded_store]") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.file("x"));
  { const auto store = open_embedded(folder.file("x")); }
  const auto refused = open_embedded_store(folder.file("x/store.db"), system_clock());
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().message,
             Catch::Contains(folder.file("x/store.db")) && Catch::Contains("no folder"));
  CHECK(open_embedded_store("", system_clock()).error().code == ErrorCode::kInvalid);
}

}  // namespace
}  // namespace serverledge
