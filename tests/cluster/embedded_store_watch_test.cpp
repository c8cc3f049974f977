#include <catch2/catch.hpp>
#include <future>
#include <thread>

#include "cluster/recording_listener.hpp"
#include "serverledge/cluster/embedded_store.hpp"
#include "support/manual_clock.hpp"

namespace serverledge {
namespace {

using namespace std::chrono_literals;
using test::ManualClock;
using test::RecordingListener;
using Lines = std::vector<std::string>;

std::unique_ptr<KeyValueStore> open(Clock& clock = system_clock()) {
  auto store = open_embedded_store(":memory:", clock);
  REQUIRE(store);
  return std::move(*store);
}

TEST_CASE("A watch begins with all there is and then tells each change of its prefix in order", "[watch]") {
  const auto store = open();
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

TEST_CASE("Whatever is written while watches begin is told exactly once, in order", "[watch]") {
  const auto store = open();
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

TEST_CASE("An expired entry is told as removed", "[watch]") {
  ManualClock clock;
  const auto store = open(clock);
  RecordingListener listener;
  const auto watch = store->watch("", listener);
  listener.lines(1);
  REQUIRE(store->put("lease", "1", 120s));
  clock.advance(119s);
  REQUIRE(store->put("x", "1"));
  clock.advance(20s);
  REQUIRE(store->put("x", "2"));
  CHECK(listener.lines(5) == Lines{"reset", "put lease=1", "put x=1", "put x=2", "removed lease"});
}

TEST_CASE("A listener that falls far behind is told everything anew", "[watch]") {
  const auto store = open();
  RecordingListener listener;
  std::promise<void> go;
  const std::shared_future<void> gone = go.get_future().share();
  listener.on_event = [gone] { gone.wait(); };
  const auto watch = store->watch("", listener);
  REQUIRE(store->put("stays", "1"));
  for (int i = 0; i < 3000; ++i) REQUIRE(store->put("n", std::to_string(i)));
  go.set_value();
  const auto revision = store->put("last", "1");
  REQUIRE(revision);
  std::size_t seen = 1;
  while (listener.revisions().empty() || listener.revisions().back() < *revision) listener.lines(++seen);
  const Lines lines = listener.lines(1);
  CHECK(lines.size() < 1100);
  const auto revisions = listener.revisions();
  CHECK(std::is_sorted(revisions.begin(), revisions.end()));
  CHECK(std::count_if(lines.begin(), lines.end(),
                      [](const std::string& line) { return line.starts_with("reset n=2999 stays=1"); }) +
            std::count(lines.begin(), lines.end(), "reset last=1 n=2999 stays=1") ==
        1);
}

TEST_CASE("After the end of a watch its listener is not called; ending waits for the event that runs",
          "[watch]") {
  const auto store = open();
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

TEST_CASE("A listener may use the store and end its own watch", "[watch]") {
  const auto store = open();
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

}  // namespace
}  // namespace serverledge
