#include "serverledge/cluster/stored_registry.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <thread>

#include "cluster/faulty_store.hpp"
#include "cluster/open_embedded.hpp"
#include "cluster/recording_listener.hpp"
#include "cluster/recording_observer.hpp"
#include "serverledge/net/base64.hpp"
#include "serverledge/net/sha256.hpp"
#include "support/manual_clock.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge {
namespace {

using namespace std::chrono_literals;
using test::FaultyStore;
using test::kAway;
using test::ManualClock;
using test::open_embedded;
using test::RecordingListener;
using test::RecordingObserver;
using test::TemporaryFolder;

const Error kFull{ErrorCode::kDiskFull, "no space left", {}};

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

std::string bytes(std::size_t size, std::uint64_t seed) {
  SeededRandom random(seed);
  std::string made(size, '\0');
  for (char& c : made) c = static_cast<char>(random.next());
  return made;
}

using Keys = std::vector<std::string>;

/// A registry on a store in memory, with what a test wants to look at.
struct RegistryOnStore {
  std::unique_ptr<KeyValueStore> store = open_embedded();
  FaultyStore faulty{*store};
  ManualClock clock;
  RecordingObserver observer;
  std::unique_ptr<FunctionRegistry> registry = make_stored_registry(faulty, clock, observer);

  std::vector<std::string> code_keys() const { return *store->keys("/serverledge/code/"); }
};

TEST_CASE("SHA-256 gives the digests of the standard", "[sha256]") {
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("Functions are created, found, listed in order, updated and removed", "[stored_registry]") {
  const RegistryOnStore fixture;
  FunctionRegistry& registry = *fixture.registry;
  const auto created = registry.create(function("func"), "code");
  REQUIRE(created);
  CHECK((*created)->revision > 0);
  CHECK((*created)->code_digest == sha256_hex("code"));
  CHECK((*created)->code_size == 4);
  REQUIRE(registry.create(function("a"), "other"));
  CHECK(**registry.find("func") == **created);
  CHECK(registry.create(function("func"), "code").error().code == ErrorCode::kExists);

  const auto updated = registry.update(function("func"), "new code");
  REQUIRE(updated);
  CHECK((*updated)->revision > (*created)->revision);
  CHECK(**registry.find("func") == **updated);
  CHECK(registry.code(**updated).value() == "new code");
  CHECK(registry.code(**created).error().code == ErrorCode::kNotFound);

  const auto all = registry.list();
  REQUIRE(all.size() == 2);
  CHECK(all[0]->name == "a");
  CHECK(*all[1] == **updated);
  REQUIRE(registry.remove("func"));
  CHECK(registry.find("func").error().code == ErrorCode::kNotFound);
  CHECK(registry.remove("func").error().code == ErrorCode::kNotFound);
  REQUIRE(registry.update(function("func"), "again"));
  CHECK(registry.find("func"));
}

TEST_CASE("Small code stands in the record exactly as the contract has it", "[stored_registry]") {
  const RegistryOnStore fixture;
  REQUIRE(fixture.registry->create(function("func"), "hello"));
  const auto entry = fixture.store->get("/function/func");
  REQUIRE(entry);
  CHECK((*entry)->value ==
        R"({"Name":"func","Runtime":"python314","MemoryMB":600,"CPUDemand":0,"MaxConcurrency":1,)"
        R"("Handler":"hello.handler","TarFunctionCode":"aGVsbG8=","CustomImage":"",)"
        R"("SupportedArchs":["amd64","arm64"],"Signature":{"Inputs":[],"Outputs":[]}})");
  CHECK(fixture.code_keys().empty());
}

TEST_CASE("A record of the Go implementation is served, with its code", "[stored_registry]") {
  RegistryOnStore fixture;
  REQUIRE(fixture.store->put("/function/go",
                             R"({"name":"go","Runtime":"python314","MemoryMB":128,"CPUDemand":0.5,)"
                             R"("MaxConcurrency":0,"Handler":"f.h","TarFunctionCode":")" +
                                 base64_encode("tar") +
                                 R"(","CustomImage":"","SupportedArchs":null,"Signature":null})"));
  const auto found = fixture.registry->find("go");
  REQUIRE(found);
  CHECK((*found)->code_digest == sha256_hex("tar"));
  CHECK((*found)->code_size == 3);
  CHECK((*found)->max_concurrency == 1);
  CHECK(fixture.registry->code(**found).value() == "tar");
}

TEST_CASE("A function without code has none", "[stored_registry]") {
  const RegistryOnStore fixture;
  const auto created = fixture.registry->create(function("image"), "");
  REQUIRE(created);
  CHECK((*created)->code_digest.empty());
  CHECK(fixture.registry->code(**created).value().empty());
}

TEST_CASE("Functions and their code survive a restart", "[stored_registry]") {
  const TemporaryFolder folder;
  RecordingObserver observer;
  const std::string large = bytes(5'000'000, 1);
  FunctionPtr created;
  FunctionPtr other;
  {
    const auto store = open_embedded(folder.file("store"));
    const auto registry = make_stored_registry(*store, system_clock(), observer);
    created = *registry->create(function("large"), large);
    other = *registry->create(function("small"), "small");
  }
  const auto store = open_embedded(folder.file("store"));
  const auto registry = make_stored_registry(*store, system_clock(), observer);
  REQUIRE(registry->list().size() == 2);
  CHECK(**registry->find("large") == *created);
  CHECK(**registry->find("small") == *other);
  CHECK((registry->code(*created).value() == large));
  CHECK(observer.lines().empty());
}

TEST_CASE("Code over 1 MB lies in pieces of 1 MiB, and goes with the last record that refers to it",
          "[stored_registry]") {
  const RegistryOnStore fixture;
  FunctionRegistry& registry = *fixture.registry;
  const std::string large = bytes(2'500'000, 2);
  const std::string at = "/serverledge/code/f/" + sha256_hex(large) + "/";
  const std::vector<std::string> pieces{at + "0", at + "1", at + "2"};

  const auto created = registry.create(function("f"), large);
  REQUIRE(created);
  CHECK(fixture.code_keys() == pieces);
  for (const std::string& piece : pieces) CHECK(fixture.store->get(piece)->value().value.size() <= 1U << 20);
  CHECK(fixture.store->get("/function/f")->value().value.size() < 1000);
  CHECK((registry.code(**created).value() == large));

  SECTION("an update with the same code keeps it") {
    const auto updated = registry.update(function("f"), large);
    REQUIRE(updated);
    CHECK(fixture.code_keys() == pieces);
    CHECK((registry.code(**updated).value() == large));
  }
  SECTION("an update with other large code replaces it") {
    const std::string other = bytes(1'500'000, 3);
    const auto updated = registry.update(function("f"), other);
    REQUIRE(updated);
    CHECK(fixture.code_keys().size() == 2);
    CHECK((registry.code(**updated).value() == other));
    CHECK(registry.code(**created).error().code == ErrorCode::kNotFound);
  }
  SECTION("an update with small code removes it") {
    REQUIRE(registry.update(function("f"), "small"));
    CHECK(fixture.code_keys().empty());
  }
  SECTION("a removal removes it, and nothing of a function with a similar name") {
    REQUIRE(registry.create(function("f2"), large));
    REQUIRE(registry.remove("f"));
    CHECK(fixture.code_keys().size() == 3);
    CHECK((registry.code(**registry.find("f2")).value() == large));
  }
  SECTION("a create that fails because the name is taken leaves it alone") {
    CHECK(registry.create(function("f"), large).error().code == ErrorCode::kExists);
    CHECK(registry.create(function("f"), bytes(3'000'000, 4)).error().code == ErrorCode::kExists);
    CHECK(fixture.code_keys() == pieces);
    CHECK((registry.code(**created).value() == large));
  }
  SECTION("damage is told") {
    REQUIRE(fixture.store->put(pieces[1], "damage"));
    CHECK(registry.code(**created).error().code == ErrorCode::kInternal);
  }
}

TEST_CASE("Of 50 concurrent creates of one function exactly one succeeds, and its code is what is there",
          "[stored_registry]") {
  const RegistryOnStore fixture;
  std::atomic<int> created = 0;
  std::atomic<int> existed = 0;
  std::atomic<int> winner = -1;
  std::atomic<bool> go = false;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 50; ++i) {
      threads.emplace_back([&, i] {
        // Every other one large, so that code is written before the record.
        const std::string code = bytes(i % 2 == 0 ? 1'100'000 : 1000, static_cast<std::uint64_t>(i));
        go.wait(false);
        const auto result = fixture.registry->create(function("f"), code);
        if (result) {
          ++created;
          winner = i;
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
  const bool large = winner % 2 == 0;
  const auto found = fixture.registry->find("f");
  REQUIRE(found);
  CHECK((fixture.registry->code(**found).value() ==
         bytes(large ? 1'100'000 : 1000, static_cast<std::uint64_t>(winner.load()))));
  CHECK(fixture.code_keys().size() == (large ? 2 : 0));
}

TEST_CASE("A change that another node gets in between of is made on what is there then",
          "[stored_registry]") {
  RegistryOnStore fixture;
  FunctionRegistry& here = *fixture.registry;
  const auto there = make_stored_registry(*fixture.store, system_clock(), fixture.observer);
  const std::string ours = bytes(1'500'000, 20);
  const std::string theirs = bytes(1'500'000, 21);
  const auto folder = [](const std::string& code) { return "/serverledge/code/f/" + sha256_hex(code) + "/"; };
  const auto pieces = [&](const std::string& code) { return Keys{folder(code) + "0", folder(code) + "1"}; };
  const auto once = [&](std::function<void()> meanwhile) {
    fixture.faulty.before_commit = [&fixture, meanwhile = std::move(meanwhile)] {
      fixture.faulty.before_commit = {};
      meanwhile();
    };
  };

  SECTION("the code that it had just written was removed, as of nobody") {
    REQUIRE(here.create(function("f"), "small"));
    once([&] {
      REQUIRE(fixture.code_keys() == pieces(ours));
      const auto starting = make_stored_registry(*fixture.store, system_clock(), fixture.observer);
      REQUIRE(fixture.code_keys().empty());
    });
    const auto updated = here.update(function("f"), ours);
    REQUIRE(updated);
    CHECK(fixture.code_keys() == pieces(ours));
    CHECK((here.code(**updated).value() == ours));
  }
  SECTION("the record was changed") {
    REQUIRE(here.create(function("f"), "small"));
    once([&] { REQUIRE(there->update(function("f"), theirs)); });
    REQUIRE(here.update(function("f"), ours));
    CHECK(fixture.code_keys() == pieces(ours));
  }
  SECTION("the record was removed") {
    REQUIRE(here.create(function("f"), theirs));
    once([&] { REQUIRE(there->remove("f")); });
    REQUIRE(here.update(function("f"), ours));
    CHECK(fixture.code_keys() == pieces(ours));
  }
  SECTION("the name was taken") {
    once([&] { REQUIRE(there->create(function("f"), theirs)); });
    CHECK(here.create(function("f"), ours).error().code == ErrorCode::kExists);
    CHECK(fixture.code_keys() == pieces(theirs));
  }
  SECTION("what is to be removed was changed") {
    REQUIRE(here.create(function("f"), ours));
    once([&] { REQUIRE(there->update(function("f"), theirs)); });
    REQUIRE(here.remove("f"));
    CHECK(fixture.code_keys().empty());
    CHECK_FALSE(fixture.store->get("/function/f")->has_value());
  }
  SECTION("others change it all the time") {
    REQUIRE(there->create(function("f"), theirs));
    fixture.faulty.before_commit = [&] { REQUIRE(there->update(function("f"), theirs)); };
    CHECK(here.update(function("f"), ours).error().code == ErrorCode::kUnavailable);
    CHECK(here.remove("f").error().code == ErrorCode::kUnavailable);
    fixture.faulty.before_commit = {};
    CHECK(here.remove("none").error().code == ErrorCode::kNotFound);
    CHECK((there->code(**there->find("f")).value() == theirs));
  }
}

TEST_CASE("A full disk in the middle of a create or update is told, and everything is as before",
          "[stored_registry]") {
  RegistryOnStore fixture;
  FunctionRegistry& registry = *fixture.registry;
  const std::string before = bytes(1'500'000, 5);
  const auto kept = registry.create(function("kept"), before);
  REQUIRE(kept);
  const auto keys = fixture.code_keys();
  for (int writes = 0; writes < 4; ++writes) {
    INFO("after " << writes << " writes");
    fixture.faulty.fail_writes_after(writes, kFull);
    CHECK(registry.create(function("new"), bytes(2'500'000, 6)).error().code == ErrorCode::kDiskFull);
    fixture.faulty.fail_writes_after(writes, kFull);
    CHECK(registry.update(function("kept"), bytes(2'500'000, 7)).error().code == ErrorCode::kDiskFull);
    fixture.faulty.fail_with(std::nullopt);
    CHECK(fixture.code_keys() == keys);
    CHECK(registry.find("new").error().code == ErrorCode::kNotFound);
    CHECK(**registry.find("kept") == **kept);
    CHECK((registry.code(**kept).value() == before));
    fixture.clock.advance(2s);
  }
}

TEST_CASE("Code that a cut-off create left behind is removed when a registry begins", "[stored_registry]") {
  const auto store = open_embedded();
  RecordingObserver observer;
  const std::string large = bytes(1'500'000, 8);
  {
    const auto registry = make_stored_registry(*store, system_clock(), observer);
    REQUIRE(registry->create(function("whole"), large));
  }
  REQUIRE(store->put("/serverledge/code/cut/" + std::string(64, 'a') + "/0", "left"));
  REQUIRE(store->put("/serverledge/code/whole/" + std::string(64, 'b') + "/0", "left"));
  REQUIRE(store->put("/function/foreign", "not to be read"));
  REQUIRE(store->put("/serverledge/code/foreign/" + std::string(64, 'c') + "/0", "whose, nobody knows"));
  const auto registry = make_stored_registry(*store, system_clock(), observer);
  CHECK(store->keys("/serverledge/code/whole/")->size() == 2);
  CHECK(store->keys("/serverledge/code/")->size() == 3);
  CHECK((registry->code(**registry->find("whole")).value() == large));
}

TEST_CASE("Changes of another registry on the store are seen, in order, and told", "[stored_registry]") {
  const auto store = open_embedded();
  RecordingObserver observer;
  const auto here = make_stored_registry(*store, system_clock(), observer);
  const auto there = make_stored_registry(*store, system_clock(), observer);
  REQUIRE(there->create(function("before"), ""));
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> told;
  here->on_change([&](const std::string& name, const FunctionPtr& now) {
    const std::scoped_lock lock(mutex);
    told.push_back(name + (now ? "+" + std::to_string(now->memory_mb) : "-"));
    changed.notify_all();
  });
  const auto wait_for = [&](std::size_t count) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, 30s, [&] { return told.size() >= count; });
  };
  REQUIRE(wait_for(1));  // only the watch can have told it
  REQUIRE(there->create(function("f"), "1"));
  Function bigger = function("f");
  bigger.memory_mb = 700;
  REQUIRE(there->update(bigger, "2"));
  REQUIRE(there->remove("f"));
  REQUIRE(here->create(function("own"), ""));
  REQUIRE(wait_for(5));
  // "own" was told by the thread that created it, whenever that was.
  std::erase(told, "own+600");
  CHECK(told == std::vector<std::string>{"before+600", "f+600", "f+700", "f-"});
  CHECK(here->find("before"));
  here->on_change({});
  REQUIRE(here->remove("own"));
  CHECK(told.size() == 4);
}

TEST_CASE("What this node changed is seen at once, however far the watch is behind", "[stored_registry]") {
  RegistryOnStore fixture;
  RecordingListener other;  // holds up the thread of the store
  std::promise<void> go;
  const std::shared_future<void> gone = go.get_future().share();
  other.on_event = [gone] { gone.wait(); };
  const auto watch = fixture.store->watch("", other);
  FunctionRegistry& registry = *fixture.registry;
  std::vector<std::string> told;
  registry.on_change(
      [&](const std::string& name, const FunctionPtr& now) { told.push_back(name + (now ? "+" : "-")); });
  for (int i = 0; i < 3; ++i) {
    REQUIRE(registry.create(function("f"), std::to_string(i)));
    CHECK(registry.find("f"));
    CHECK(registry.list().size() == 1);
    REQUIRE(registry.update(function("f"), "u"));
    CHECK(registry.code(**registry.find("f")).value() == "u");
    REQUIRE(registry.remove("f"));
    CHECK(registry.find("f").error().code == ErrorCode::kNotFound);
    CHECK(registry.list().empty());
    fixture.clock.advance(2s);
  }
  CHECK(told == std::vector<std::string>{"f+", "f+", "f-", "f+", "f+", "f-", "f+", "f+", "f-"});
  go.set_value();
  REQUIRE(registry.create(function("last"), ""));
  other.lines(1);
  CHECK(told.back() == "last+");
  CHECK(registry.find("f").error().code == ErrorCode::kNotFound);
}

TEST_CASE("While the store is away a known function is found, and without asking the store",
          "[stored_registry]") {
  RegistryOnStore fixture;
  const auto created = fixture.registry->create(function("known"), "code");
  REQUIRE(created);
  fixture.faulty.fail_with(kAway);
  const int calls = fixture.faulty.calls();
  for (int i = 0; i < 1000; ++i) REQUIRE(**fixture.registry->find("known") == **created);
  CHECK(fixture.faulty.calls() == calls);
  CHECK(fixture.registry->list().size() == 1);
  CHECK(fixture.registry->find("unknown").error().code == ErrorCode::kUnavailable);
  CHECK(fixture.registry->code(**created).error().code == ErrorCode::kUnavailable);
  CHECK(fixture.registry->create(function("new"), "").error().code == ErrorCode::kUnavailable);
  fixture.faulty.fail_with(std::nullopt);
  fixture.clock.advance(2s);
  CHECK(fixture.registry->find("unknown").error().code == ErrorCode::kNotFound);
  CHECK(fixture.registry->create(function("new"), ""));
}

TEST_CASE("While the store is away one look-up in a second finds out, whatever the names",
          "[stored_registry]") {
  RegistryOnStore fixture;
  fixture.faulty.fail_with(kAway);
  const int calls = fixture.faulty.calls();
  for (int i = 0; i < 100; ++i) {
    CHECK(fixture.registry->find("unknown" + std::to_string(i)).error().code == ErrorCode::kUnavailable);
  }
  CHECK(fixture.faulty.calls() == calls + 1);
  fixture.clock.advance(1001ms);
  CHECK(fixture.registry->find("another").error().code == ErrorCode::kUnavailable);
  CHECK(fixture.faulty.calls() == calls + 2);
  fixture.faulty.fail_with(std::nullopt);
  fixture.clock.advance(1001ms);
  CHECK(fixture.registry->find("unknown").error().code == ErrorCode::kNotFound);
  CHECK(fixture.registry->find("other").error().code == ErrorCode::kNotFound);
}

TEST_CASE("An unknown name is looked up once, and the miss is remembered for a second", "[stored_registry]") {
  RegistryOnStore fixture;
  const int calls = fixture.faulty.calls();
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 20; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 100; ++n) {
          if (fixture.registry->find("unknown")) std::abort();
        }
      });
    }
  }
  CHECK(fixture.faulty.calls() == calls + 1);
  fixture.clock.advance(900ms);
  CHECK_FALSE(fixture.registry->find("unknown"));
  CHECK(fixture.faulty.calls() == calls + 1);
  fixture.clock.advance(101ms);
  CHECK_FALSE(fixture.registry->find("unknown"));
  CHECK(fixture.faulty.calls() == calls + 2);
  // However many names are invented, what is remembered of them is bounded, and creating one is seen at once.
  for (int i = 0; i < 5000; ++i) CHECK_FALSE(fixture.registry->find("unknown" + std::to_string(i)));
  REQUIRE(fixture.registry->create(function("unknown"), ""));
  CHECK(fixture.registry->find("unknown"));
}

TEST_CASE("Records that cannot be read are logged and passed over", "[stored_registry]") {
  const auto store = open_embedded();
  REQUIRE(store->put("/function/text", "this is no JSON"));
  REQUIRE(store->put("/function/other", R"({"Name":"name"})"));
  REQUIRE(store->put("/function/code", R"({"Name":"code","TarFunctionCode":"*"})"));
  RecordingObserver observer;
  const auto registry = make_stored_registry(*store, system_clock(), observer);
  REQUIRE(registry->create(function("good"), "code"));
  CHECK(registry->list().size() == 1);
  CHECK(registry->find("text").error().code == ErrorCode::kNotFound);
  const auto lines = observer.lines();
  REQUIRE(lines.size() >= 3);
  CHECK_THAT(lines[0], Catch::Contains("function_unreadable key=/function/code"));
  CHECK(registry->update(function("text"), "now good"));
  CHECK(registry->find("text"));
}

}  // namespace
}  // namespace serverledge
