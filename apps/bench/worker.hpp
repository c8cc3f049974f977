#pragma once

#include <memory>
#include <vector>

#include "lane.hpp"
#include "load.hpp"

namespace serverledge::bench {

constexpr int kTick = 100;  // milliseconds between looks at overdue answers
/// How long calls that are under way may still take once the run has been stopped.
constexpr auto kGraceAfterStop = std::chrono::seconds(1);

/// A thread's part of a load. `run` is called once, by that thread; the tally is whole when it has returned.
class Worker {
 public:
  virtual ~Worker() = default;
  virtual void run() = 0;
  const Tally& tally() const { return tally_; }

 protected:
  Worker(const Load& load, const Address& address, ColdFunctions* cold, int index)
      : load_(load),
        address_(address),
        cold_(cold),
        tally_(load.targets.size()),
        choice_(load.targets, load.seed + 2 * static_cast<std::uint64_t>(index) + 1) {}

  std::unique_ptr<Lane> make_lane(bool blocking) {
    return std::make_unique<Lane>(load_, address_, cold_, tally_, blocking);
  }
  /// Whether the run has been stopped, and calls under way have had their time.
  bool past_grace(TimePoint now) {
    if (!load_.stopped()) return false;
    if (stopped_at_ == TimePoint::max()) stopped_at_ = now;
    return now - stopped_at_ >= kGraceAfterStop;
  }

  const Load& load_;
  const Address& address_;
  ColdFunctions* cold_;
  Tally tally_;
  Choice choice_;

 private:
  TimePoint stopped_at_ = TimePoint::max();
};

using Workers = std::vector<std::unique_ptr<Worker>>;

/// The workers of a closed loop that begins at `begin`.
Workers closed_loop(const Load& load, const Address& address, ColdFunctions* cold, TimePoint begin);
/// The workers of an open loop that begins at `begin`.
Workers open_loop(const Load& load, const Address& address, ColdFunctions* cold, TimePoint begin);
/// How many calls will be due in an open loop, with those of the warm-up, but at most `limit`.
std::uint64_t calls_due(const Load& load, std::uint64_t limit);

}  // namespace serverledge::bench
