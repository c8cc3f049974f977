#include <algorithm>
#include <chrono>

#include "lane_events.hpp"
#include "worker.hpp"

namespace serverledge::bench {
namespace {

// So many calls begin before answers are looked at again, or those of a burst would seem late by its size.
constexpr int kBurst = 32;

// The calls of an open loop that one of its threads makes.
class Part {
 public:
  Part(const Load& load, TimePoint begin, int index, int parts)
      : arrivals_(load.spacing, load.rate / parts,
                  // Constant ones take turns; of random ones each part is as random as the whole.
                  load.spacing == Spacing::kConstant ? later(begin, from_seconds(index / load.rate)) : begin,
                  load.seed + 2 * static_cast<std::uint64_t>(index)),
        counting_(later(begin, load.warmup)),
        end_(load.requests == 0 ? later(counting_, load.duration) : TimePoint::max()) {
    const auto part = static_cast<std::uint64_t>(index);
    const auto all = static_cast<std::uint64_t>(parts);
    limit_ = load.requests == 0 ? UINT64_MAX : (load.requests + all - 1 - part) / all;
  }

  bool over() const { return counted_ >= limit_ || arrivals_.next() >= end_; }
  TimePoint due() const { return arrivals_.next(); }
  bool counts() const { return arrivals_.next() >= counting_; }
  void advance() {
    if (counts()) ++counted_;
    arrivals_.advance();
  }

 private:
  Arrivals arrivals_;
  TimePoint counting_;
  TimePoint end_;
  std::uint64_t limit_;
  std::uint64_t counted_ = 0;
};

int parts_of(const Load& load) { return std::clamp(load.threads, 1, load.connections); }

// Calls that are due and have no connection yet are not kept anywhere: they are the ones from part_.due() to
// now. Each is sent late then, and its latency still counts from when it was due.
class OpenWorker final : public Worker {
 public:
  OpenWorker(const Load& load, const Address& address, ColdFunctions* cold, TimePoint begin, int index,
             int parts)
      : Worker(load, address, cold, index),
        part_(load, begin, index, parts),
        bound_(static_cast<std::size_t>((load.connections + index) / parts)) {}

  void run() override {
    TimePoint looked = system_clock().now();
    while (true) {
      const TimePoint now = system_clock().now();
      if (now - looked >= std::chrono::milliseconds(kTick)) {
        looked = now;
        if (past_grace(now)) break;
        give_up_overdue(now);
      }
      const bool more = begin_due(now);
      if (over() && idle_.size() == lanes_.size()) break;
      events_.wake_at(over() || starved_ ? TimePoint::max() : part_.due(), now);
      for (const auto& event : events_.wait(more ? 0 : kTick)) {
        if (event.data.ptr != nullptr) advance(*static_cast<Lane*>(event.data.ptr));
      }
    }
    for (const auto& lane : lanes_) {
      if (lane->under_way()) lane->abandon();
    }
    tally_.outcome().opened = lanes_.size();
  }

 private:
  bool over() const { return load_.stopped() || part_.over(); }

  // Begins what is due; whether there is more of it that could begin at once.
  bool begin_due(TimePoint now) {
    for (int begun = 0; !over() && part_.due() <= now;) {
      if (now - part_.due() >= load_.timeout) {
        tally_.count_begin();
        tally_.count_end(true, Duration(0));
        if (part_.counts()) tally_.add_error(choice_.next(), "unsent", part_.due(), now);
        part_.advance();
        continue;
      }
      if (begun++ == kBurst) return true;
      Lane* lane = free_lane();
      starved_ = lane == nullptr;
      if (starved_) return false;
      begin(*lane);
    }
    return false;
  }

  void begin(Lane& lane) {
    if (part_.counts() && part_.due() <= starved_until_) ++tally_.outcome().waited;
    const bool under_way = lane.begin(choice_.next(), part_.due(), part_.counts());
    part_.advance();
    if (under_way) {
      events_.watch(lane);
    } else {
      ended(lane);
    }
  }

  // The one that was used last, so that a light load needs few; a new one if all are busy; null at the bound.
  Lane* free_lane() {
    if (!idle_.empty()) {
      Lane* lane = idle_.back();
      idle_.pop_back();
      return lane;
    }
    if (lanes_.size() >= bound_) return nullptr;
    lanes_.push_back(make_lane(false));
    return lanes_.back().get();
  }

  void ended(Lane& lane) {
    events_.watch(lane);
    idle_.push_back(&lane);
    if (starved_) starved_until_ = system_clock().now();
    starved_ = false;
  }

  void advance(Lane& lane) {
    if (!lane.under_way()) {
      lane.retire();  // the server has closed it, or said something unasked
    } else if (lane.advance()) {
      events_.watch(lane);
    } else {
      ended(lane);
    }
  }

  void give_up_overdue(TimePoint now) {
    for (const auto& lane : lanes_) {
      if (lane->under_way() && !lane->look_at_time(now)) ended(*lane);
    }
  }

  Part part_;
  std::size_t bound_;
  LaneEvents events_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<Lane*> idle_;
  bool starved_ = false;  // a call is due and every connection busy
  TimePoint starved_until_ = TimePoint::min();
};

}  // namespace

Workers open_loop(const Load& load, const Address& address, ColdFunctions* cold, TimePoint begin) {
  Workers workers;
  for (int i = 0; i < parts_of(load); ++i)
    workers.push_back(std::make_unique<OpenWorker>(load, address, cold, begin, i, parts_of(load)));
  return workers;
}

std::uint64_t calls_due(const Load& load, std::uint64_t limit) {
  std::uint64_t count = 0;
  for (int i = 0; i < parts_of(load); ++i) {
    for (Part part(load, TimePoint{}, i, parts_of(load)); !part.over() && count < limit; part.advance())
      ++count;
  }
  return count;
}

}  // namespace serverledge::bench
