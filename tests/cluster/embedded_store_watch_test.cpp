#include <catch2/catch.hpp>
#include <future>
#include <thread>

#include "cluster/open_embedded.hpp"
#include "cluster/recording_listener.hpp"
#include "support/manual_clock.hpp"

namespace serverledge {
namespace {

using namespace std::chrono_literals;
using test::ManualClock;
using test::open_embedded;
using test::RecordingListener;
using Lines = std::vector<std::string>;

TEST_CASE("An expired entry is told as removed", "[watch]") {
  ManualClock clock;
  const auto store = open_embedded(":memory:", clock);
  RecordingListener listener;
  std::promise<void> told;
  std::promise<void> go;
  // The store's thread, which removes what has expired, is held while it tells of the third event.
  listener.on_event = [&told, gone = go.get_future().share(), events = 0]() mutable {
    if (++events != 3) return;
    told.set_value();
    gone.wait();
  };
  const auto watch = store->watch("", listener);
  listener.lines(1);
  REQUIRE(store->put("lease", "1", 120s));
  clock.advance(119s);
  REQUIRE(store->put("x", "1"));
  REQUIRE(told.get_future().wait_for(30s) == std::future_status::ready);
  clock.advance(20s);
  REQUIRE(store->put("x", "2"));
  go.set_value();
  CHECK(listener.lines(5) == Lines{"reset", "put lease=1", "put x=1", "put x=2", "removed lease"});
}

TEST_CASE("A listener that falls far behind is told everything anew", "[watch]") {
  const auto store = open_embedded();
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

}  // namespace
}  // namespace serverledge
