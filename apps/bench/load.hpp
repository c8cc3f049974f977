#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "arrivals.hpp"
#include "cold_functions.hpp"
#include "histogram.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"
#include "targets.hpp"

namespace serverledge::bench {

/// What to load, and how. A closed loop (no rate): each connection sends a request, waits for the answer, and
/// sends the next one. An open loop: calls are due at moments that the server has no influence on; a
/// connection that is free takes the next one, and if none is, another one is opened.
struct Load {
  std::string host = "127.0.0.1";
  int port = 1323;
  std::vector<Target> targets;         ///< at least one; with `cold` just one, of its name only
  std::optional<ColdDefinition> cold;  ///< a function of its own for each call
  double rate = 0;                     ///< calls per second of an open loop; 0: a closed loop
  Spacing spacing = Spacing::kConstant;
  std::uint64_t seed = 0;
  int connections = 1;  ///< of an open loop: at most
  int threads = 1;      ///< that serve them; of a closed loop: when they are too many for a thread each
  Duration warmup{0};   ///< load before anything counts
  Duration duration = std::chrono::seconds(10);  ///< no call starts after that; ignored if `requests` is set
  std::uint64_t requests = 0;                    ///< how many to send, after the warm-up; 0: as many as fit
  Duration timeout = std::chrono::seconds(60);   ///< of one answer; in an open loop from when it was due
  const std::atomic<bool>* stop = nullptr;       ///< set by someone else: end now

  bool open() const { return rate > 0; }
  bool stopped() const { return stop != nullptr && stop->load(std::memory_order_relaxed); }
};

/// What came of the calls of one target.
struct TargetOutcome {
  std::uint64_t successes = 0;
  std::uint64_t failures = 0;
  std::uint64_t warm = 0;
  std::uint64_t cold = 0;
  double total = 0;         ///< nanoseconds of all successes
  std::uint64_t worst = 0;  ///< nanoseconds of the slowest one
};

/// What came of the requests that were started after the warm-up.
struct Outcome {
  Histogram
      latency;  ///< of the answers with a 2xx status: start of request, or when it was due, to end of answer
  Histogram cold_latency;                       ///< of those for which a container was started
  std::map<int, std::uint64_t> statuses;        ///< answers by status
  std::map<std::string, std::uint64_t> errors;  ///< requests without an answer, by reason
  std::vector<TargetOutcome> targets;           ///< in the order of Load::targets
  std::uint64_t warm = 0;         ///< successes whose answer says that no container was started for them
  std::uint64_t cold = 0;         ///< and that one was
  std::uint64_t bytes = 0;        ///< of the answers' bodies
  std::uint64_t abandoned = 0;    ///< calls whose answer nobody waited for any more when the run was stopped
  std::uint64_t left_behind = 0;  ///< functions of a cold load that the node would not remove
  Duration elapsed{0};            ///< first start to last end
  // Of an open loop:
  Histogram lag;             ///< from when a call was due until it was sent
  std::uint64_t waited = 0;  ///< calls that were due while every connection was busy
  std::uint64_t opened = 0;  ///< most connections at a time

  std::uint64_t successes() const { return latency.count(); }
  std::uint64_t failures() const;
};

/// How it goes, since the progress before.
struct Progress {
  Duration elapsed{0};  ///< since the beginning
  bool warming_up = false;
  std::uint64_t ended = 0;
  std::uint64_t failed = 0;       ///< of those
  double per_second = 0;          ///< ended
  double mean_latency = 0;        ///< seconds, of those that did not fail
  std::uint64_t under_way = 0;    ///< now
  std::uint64_t total_ended = 0;  ///< since the beginning
};

/// Runs the load on threads of its own and returns when every request has ended, or a second after
/// `load.stop`. `progress`, if there is one, is called about once a second by the caller's thread.
/// kUnavailable if the host has no address; any error of the node that would not register the functions of a
/// cold open loop.
Result<Outcome> run(const Load& load, const std::function<void(const Progress&)>& progress = nullptr);

}  // namespace serverledge::bench
