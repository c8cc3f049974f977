#include "cluster/known_peer.hpp"

#include <algorithm>
#include <utility>

namespace serverledge {
namespace {

constexpr Duration kFirstAvoidance = std::chrono::seconds(2);
constexpr Duration kLongestAvoidance = std::chrono::minutes(1);
constexpr Duration kFirstRefusal = std::chrono::seconds(1);
constexpr Duration kLongestRefusal = std::chrono::seconds(30);
constexpr std::size_t kMostRefusals = 64;
/// A call that has been there this long while the peer says that it does nothing is not being worked on.
constexpr Duration kSwallowed = std::chrono::seconds(10);

/// The next pause: twice as long, within these.
Duration doubled(Duration pause, Duration first, Duration longest) {
  return pause == Duration::zero() ? first : std::min(2 * pause, longest);
}

}  // namespace

void KnownPeer::ask(TimePoint now, Duration until_next) {
  asked_ = true;
  asked_at_ = now;
  next_question_ = later(now, until_next);
}

void KnownPeer::give_up(TimePoint now, Duration answer_time, Duration interval) {
  asked_ = false;
  doubtful_ = true;
  ++misses_;
  // At once at first: a datagram may be lost. A silent one is asked more and more seldom.
  Duration pause = Duration::zero();
  for (int miss = kSilentAfter; miss <= misses_ && pause < interval; ++miss)
    pause = doubled(pause, answer_time, interval);
  next_question_ = later(now, std::min(pause, interval));
}

Duration KnownPeer::answer(StatusReport report, TimePoint now) {
  const bool measured = asked_ && !doubtful_;
  const Duration round_trip = now - asked_at_;
  asked_ = false;
  doubtful_ = false;
  misses_ = 0;
  coordinates_ = report.coordinates;
  total_ = report.total;
  available_ = report.available;
  idle_ = std::make_shared<const WarmContainers>(std::move(report.warm_containers));
  heard_ = now;
  return measured ? filter_.add(round_trip) : Duration::zero();
}

void KnownPeer::send(std::uint64_t call, const Resources& demand, TimePoint now) {
  calls_.emplace(call, now);
  available_ -= demand;
}

void KnownPeer::load(const Resources& available, TimePoint now) {
  available_ = available;
  heard_ = now;
}

void KnownPeer::succeeded(std::string_view function, TimePoint now) {
  last_success_ = now;
  avoid_until_ = {};
  avoid_pause_ = Duration::zero();
  std::erase_if(refusals_, [&](const Refusal& row) { return row.refusal.function == function; });
}

void KnownPeer::failed(std::string_view function, const Error& error, TimePoint now) {
  if (error.code == ErrorCode::kCancelled) return;  // our own caller gave up
  if (error.code != ErrorCode::kNoResources && error.code != ErrorCode::kNotFound) {
    avoid_pause_ = doubled(avoid_pause_, kFirstAvoidance, kLongestAvoidance);
    avoid_until_ = later(now, avoid_pause_);
    return;
  }
  const auto known = std::find_if(refusals_.begin(), refusals_.end(),
                                  [&](const Refusal& row) { return row.refusal.function == function; });
  if (known != refusals_.end()) {
    if (now < known->refusal.until) return;  // of a call that was under way when it refused
    known->pause = doubled(known->pause, kFirstRefusal, kLongestRefusal);
    known->refusal.until = later(now, known->pause);
    return;
  }
  if (refusals_.size() >= kMostRefusals) refusals_.erase(refusals_.begin());
  refusals_.push_back({{std::string(function), later(now, kFirstRefusal)}, kFirstRefusal});
}

/// Whether it takes calls and does not work on them: nothing it was sent comes back, and it says, or nobody
/// knows better, that it has nothing to do.
bool KnownPeer::swallows_calls(TimePoint now) const {
  if (calls_.empty()) return false;
  const TimePoint oldest = calls_.begin()->second;
  if (now - oldest < kSwallowed || last_success_ > oldest) return false;
  return !heard() || available_.memory_mb >= total_.memory_mb;
}

PeerView KnownPeer::view(TimePoint now) const {
  PeerView view;
  view.peer = registration_.peer;
  view.available = available_;
  view.idle = idle_;
  view.round_trip = filter_.median();
  view.heard = heard_;
  view.avoid_until = avoid_until_;
  if (swallows_calls(now) || (heard() && silent())) {
    view.avoid_until = std::max(avoid_until_, later(now, kFirstAvoidance));
  }
  for (const Refusal& row : refusals_) {
    if (now < row.refusal.until) view.refusals.push_back(row.refusal);
  }
  return view;
}

}  // namespace serverledge
