#include "serverledge/core/clock.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

namespace serverledge {

using namespace std::chrono_literals;

TEST_CASE("seconds become durations, clamped to a hundred years", "[clock]") {
  CHECK(from_seconds(1.5) == 1500ms);
  CHECK(from_seconds(-0.25) == -250ms);
  CHECK(from_seconds(0) == Duration::zero());
  CHECK(from_seconds(std::nan("")) == Duration::zero());
  const Duration century = from_seconds(100.0 * 365 * 86400);
  for (const double huge : {1e12, 1e300, std::numeric_limits<double>::infinity()}) {
    CHECK(from_seconds(huge) == century);
    CHECK(from_seconds(-huge) == -century);
  }
  CHECK(seconds(1500ms) == 1.5);
}

TEST_CASE("a moment later never wraps around", "[clock]") {
  const TimePoint now{Duration(1000)};
  CHECK(later(now, 5ns) == TimePoint(Duration(1005)));
  CHECK(later(now, -5ns) == TimePoint(Duration(995)));
  CHECK(later(now, Duration::max()) == TimePoint::max());
  CHECK(later(TimePoint::max(), 1ns) == TimePoint::max());
  CHECK(later(TimePoint::max() - 5ns, 5ns) == TimePoint::max());
  CHECK(later(TimePoint::min(), -1ns) == TimePoint::min());
  CHECK(later(TimePoint::max(), -1ns) == TimePoint::max() - 1ns);
}

TEST_CASE("the monotonic clock does not go back", "[clock]") {
  const TimePoint before = system_clock().now();
  CHECK(system_clock().now() >= before);
  CHECK(system_clock().wall().time_since_epoch() > std::chrono::hours(24 * 365 * 50));
}

TEST_CASE("one seed gives one sequence, the published one", "[clock]") {
  // The reference implementation of xoshiro256** with a state from splitmix64 of 42.
  SeededRandom random(42);
  CHECK(random.next() == 1546998764402558742ULL);
  CHECK(random.next() == 6990951692964543102ULL);
  SeededRandom again(42);
  again.next();
  CHECK(again.next() == 6990951692964543102ULL);
  CHECK(SeededRandom(43).next() != SeededRandom(42).next());
}

TEST_CASE("chance stays in its range", "[clock]") {
  SeededRandom random(7);
  for (int i = 0; i < 10000; ++i) {
    const double uniform = random.uniform();
    CHECK((uniform >= 0 && uniform < 1));
    CHECK(random.below(10) < 10);
  }
  CHECK(random.below(0) == 0);
  CHECK(random.below(1) == 0);
  CHECK(entropy() != entropy());
}

TEST_CASE("a forked child draws other random bits than its parent", "[clock]") {
  entropy();
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const std::uint64_t drawn = entropy();
    _exit(write(ends[1], &drawn, sizeof drawn) == sizeof drawn ? 0 : 1);
  }
  const std::uint64_t ours = entropy();
  std::uint64_t theirs = ours;
  CHECK(read(ends[0], &theirs, sizeof theirs) == sizeof theirs);
  CHECK(theirs != ours);
  int status = 1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace serverledge
