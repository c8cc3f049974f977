#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

#include "lane_events.hpp"
#include "worker.hpp"

namespace serverledge::bench {
namespace {

// Up to this many connections get a thread each, which blocks in recv: the shortest way there is. Beyond,
// threads would take the cores from the server that is measured, and epoll serves many connections from one.
constexpr int kThreadEach = 2;

constexpr int kPauseAfterRefusal = 10;  // milliseconds; or the loop would only measure refusals

// Says which call may start, and whether it counts. Shared by all threads.
class Schedule {
 public:
  Schedule(const Load& load, TimePoint begin)
      : load_(load),
        counting_(later(begin, load.warmup)),
        end_(load.requests == 0 ? later(counting_, load.duration) : TimePoint::max()) {}

  /// Whether a call that begins now counts; nothing if none may begin any more.
  std::optional<bool> claim(TimePoint now) {
    if (load_.stopped() || now >= end_) return std::nullopt;
    if (now < counting_) return false;
    if (load_.requests != 0 && started_.fetch_add(1, std::memory_order_relaxed) >= load_.requests)
      return std::nullopt;
    return true;
  }

 private:
  const Load& load_;
  const TimePoint counting_;
  const TimePoint end_;
  std::atomic<std::uint64_t> started_{0};
};

class ClosedWorker : public Worker {
 public:
  ClosedWorker(const Load& load, const Address& address, ColdFunctions* cold,
               std::shared_ptr<Schedule> schedule, int index)
      : Worker(load, address, cold, index), schedule_(std::move(schedule)) {}

 protected:
  // Begins the next call: true while it is under way; nothing if the schedule is over.
  std::optional<bool> begin(Lane& lane) {
    const auto counts = schedule_->claim(system_clock().now());
    if (!counts) return std::nullopt;
    return lane.begin(choice_.next(), std::nullopt, *counts);
  }

 private:
  std::shared_ptr<Schedule> schedule_;
};

// One connection, whose socket blocks.
class BlockingWorker final : public ClosedWorker {
 public:
  using ClosedWorker::ClosedWorker;

  void run() override {
    const auto lane = make_lane(true);
    tally_.outcome().opened = 1;
    while (const auto begun = begin(*lane)) {
      bool under_way = *begun;
      while (under_way) {
        const TimePoint now = system_clock().now();
        if (past_grace(now)) {
          lane->abandon();
          return;
        }
        under_way = lane->look_at_time(now) && lane->advance();
      }
      if (lane->refused()) std::this_thread::sleep_for(std::chrono::milliseconds(kPauseAfterRefusal));
    }
  }
};

// Many connections.
class ManyWorker final : public ClosedWorker {
 public:
  ManyWorker(const Load& load, const Address& address, ColdFunctions* cold,
             std::shared_ptr<Schedule> schedule, int index, int connections)
      : ClosedWorker(load, address, cold, std::move(schedule), index) {
    for (int i = 0; i < connections; ++i) lanes_.push_back(make_lane(false));
    active_ = lanes_.size();
    tally_.outcome().opened = lanes_.size();
  }

  void run() override {
    for (const auto& lane : lanes_) next(*lane);
    TimePoint looked = system_clock().now();
    while (active_ > 0) {
      for (const auto& event : events_.wait(paused_.empty() ? kTick : kPauseAfterRefusal)) {
        if (event.data.ptr != nullptr) advance(*static_cast<Lane*>(event.data.ptr));
      }
      const TimePoint now = system_clock().now();
      if (!paused_.empty()) resume(now);
      if (now - looked < std::chrono::milliseconds(kTick)) continue;
      looked = now;
      if (past_grace(now)) break;
      for (const auto& lane : lanes_) {
        if (lane->under_way() && !lane->look_at_time(now)) next(*lane);
      }
    }
    for (const auto& lane : lanes_) {
      if (lane->under_way()) lane->abandon();
    }
  }

 private:
  void advance(Lane& lane) {
    if (!lane.under_way()) return;  // it has ended since the event
    if (lane.advance()) {
      events_.watch(lane);
    } else {
      next(lane);
    }
  }

  // The lane has no call: begins one, unless the schedule is over.
  void next(Lane& lane) {
    while (!lane.refused()) {
      const auto begun = begin(lane);
      if (!begun) {
        lane.retire();
        --active_;
        return;
      }
      if (*begun) {
        events_.watch(lane);
        return;
      }
    }
    lane.retire();
    paused_.push_back({later(system_clock().now(), std::chrono::milliseconds(kPauseAfterRefusal)), &lane});
  }

  void resume(TimePoint now) {
    std::vector<Paused> due;
    std::swap(due, paused_);
    for (const auto& paused : due) {
      if (paused.until <= now) {
        next(*paused.lane);
      } else {
        paused_.push_back(paused);
      }
    }
  }

  struct Paused {
    TimePoint until;
    Lane* lane;
  };
  LaneEvents events_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<Paused> paused_;  // their last call was refused
  std::size_t active_ = 0;      // that have a call, or will have one
};

}  // namespace

Workers closed_loop(const Load& load, const Address& address, ColdFunctions* cold, TimePoint begin) {
  const auto schedule = std::make_shared<Schedule>(load, begin);
  Workers workers;
  if (load.connections <= kThreadEach) {
    for (int i = 0; i < load.connections; ++i)
      workers.push_back(std::make_unique<BlockingWorker>(load, address, cold, schedule, i));
    return workers;
  }
  const int threads = std::clamp(load.threads, 1, load.connections);
  for (int i = 0; i < threads; ++i) {
    const int share = (load.connections + i) / threads;  // the shares add up to all of them
    workers.push_back(std::make_unique<ManyWorker>(load, address, cold, schedule, i, share));
  }
  return workers;
}

}  // namespace serverledge::bench
