#include "serverledge/cluster/peer_table.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

#include "cluster/known_peer.hpp"
#include "serverledge/cluster/vivaldi.hpp"

namespace serverledge {
namespace {

/// Nodes of the cloud that are published: enough to choose from.
constexpr std::size_t kMostCloud = 32;
/// How often what depends on the time alone is looked at again.
constexpr Duration kReview = std::chrono::seconds(1);

using KnownPeerPtr = std::shared_ptr<KnownPeer>;
using Members = std::vector<KnownPeerPtr>;
/// Nodes by the moment at which something is due with them: the first costs nothing to find.
using Schedule = std::set<std::pair<TimePoint, std::uint64_t>>;

TimePoint first_of(const Schedule& schedule) {
  return schedule.empty() ? TimePoint::max() : schedule.begin()->first;
}

}  // namespace

class PeerTable::State {
 public:
  State(PeerTableOptions options, Clock& clock, std::uint64_t seed)
      : options_(std::move(options)), clock_(clock), random_(seed) {}

  void set_members(const AreaMembers& own, const AreaMembers& cloud);
  std::vector<Question> due(TimePoint now, std::size_t most);
  TimePoint next_due() const;
  void answered(std::uint64_t peer, StatusReport report, TimePoint now);
  std::uint64_t forwarding(const Peer& peer, const Resources& demand);
  void forwarded(const Peer& peer, std::uint64_t call, const Forwarded& outcome);
  std::shared_ptr<const PeerSnapshot> peers();
  void failed(const Peer& peer, const Invocation& invocation, const Error& error);
  Coordinates coordinates() const;

 private:
  Members follow(const std::vector<Registration>& registered, const Members& before);
  KnownPeer* find(const Peer& peer) const;
  Duration until_next(const KnownPeer& peer);
  KnownPeer* take_due(Schedule& schedule, TimePoint now);
  void publish(TimePoint now);
  void publish_neighbours(PeerSnapshot& snapshot, TimePoint now);
  void publish_cloud(PeerSnapshot& snapshot, TimePoint now);

  const PeerTableOptions options_;
  Clock& clock_;
  mutable std::mutex mutex_;  // guards what follows
  SeededRandom random_;
  Vivaldi vivaldi_{random_};
  Members own_, cloud_, balancers_;
  std::unordered_map<std::uint64_t, KnownPeerPtr> asked_of_;  // own and cloud, by id
  // Each of these is in one of the two:
  Schedule waiting_;  // until it is asked
  Schedule open_;     // until its answer counts as lost
  std::size_t most_open_ = std::numeric_limits<std::size_t>::max();
  std::uint64_t next_id_ = 1;
  std::uint64_t next_call_ = 1;
  TimePoint reviewed_{};
  bool changed_ = true;
  std::shared_ptr<const PeerSnapshot> snapshot_ = std::make_shared<const PeerSnapshot>();
};

/// The members as they are registered now; of those that were there before at the same place all that is
/// known stays.
Members PeerTable::State::follow(const std::vector<Registration>& registered, const Members& before) {
  Members members;
  for (const Registration& registration : registered) {
    if (registration.peer.area == options_.area && registration.peer.key == options_.key) continue;
    const auto known = std::find_if(before.begin(), before.end(), [&](const KnownPeerPtr& peer) {
      return peer->registration() == registration;
    });
    members.push_back(
        known != before.end() ? *known : std::make_shared<KnownPeer>(next_id_++, registration, clock_.now()));
  }
  return members;
}

void PeerTable::State::set_members(const AreaMembers& own, const AreaMembers& cloud) {
  const std::scoped_lock lock(mutex_);
  own_ = follow(own.nodes, own_);
  cloud_ = follow(cloud.nodes, cloud_);
  balancers_ = follow(cloud.balancers, balancers_);
  asked_of_.clear();
  waiting_.clear();
  open_.clear();
  for (const Members* members : {&own_, &cloud_}) {
    for (const KnownPeerPtr& peer : *members) {
      asked_of_.emplace(peer->id(), peer);
      if (peer->asked()) {
        open_.emplace(peer->answer_due(options_.answer_time), peer->id());
      } else {
        waiting_.emplace(peer->next_question(), peer->id());
      }
    }
  }
  changed_ = true;
}

/// With some chance in it, so that the answers of many come one after the other.
Duration PeerTable::State::until_next(const KnownPeer& peer) {
  const Duration interval = peer.published ? std::min(options_.fresh, options_.interval) : options_.interval;
  return from_seconds(seconds(interval) * (0.9 + 0.2 * random_.uniform()));
}

/// The first of those with which something is due by now, taken out; null if it is with none.
KnownPeer* PeerTable::State::take_due(Schedule& schedule, TimePoint now) {
  if (schedule.empty() || schedule.begin()->first > now) return nullptr;
  KnownPeer* peer = asked_of_.at(schedule.begin()->second).get();
  schedule.erase(schedule.begin());
  return peer;
}

std::vector<PeerTable::Question> PeerTable::State::due(TimePoint now, std::size_t most) {
  const std::scoped_lock lock(mutex_);
  most_open_ = most;
  while (KnownPeer* peer = take_due(open_, now)) {
    peer->give_up(now, options_.answer_time, options_.interval);
    waiting_.emplace(peer->next_question(), peer->id());
    changed_ = true;
  }
  std::vector<Question> questions;
  while (open_.size() < most) {
    KnownPeer* peer = take_due(waiting_, now);
    if (peer == nullptr) break;
    peer->ask(now, until_next(*peer));
    open_.emplace(peer->answer_due(options_.answer_time), peer->id());
    questions.push_back({peer->id(), peer->registration().peer.host, peer->registration().udp_port});
  }
  if (now - reviewed_ >= kReview) {
    changed_ = true;
    reviewed_ = now;
  }
  return questions;
}

TimePoint PeerTable::State::next_due() const {
  const std::scoped_lock lock(mutex_);
  // An answer makes room for the next question.
  return open_.size() < most_open_ ? std::min(first_of(open_), first_of(waiting_)) : first_of(open_);
}

void PeerTable::State::answered(std::uint64_t id, StatusReport report, TimePoint now) {
  const std::scoped_lock lock(mutex_);
  const auto found = asked_of_.find(id);
  if (found == asked_of_.end()) return;
  KnownPeer& peer = *found->second;
  if (peer.asked()) {
    open_.erase({peer.answer_due(options_.answer_time), id});
    waiting_.emplace(peer.next_question(), id);
  }
  const Duration round_trip = peer.answer(std::move(report), now);
  if (round_trip > Duration::zero() && peer.registration().peer.area == options_.area) {
    vivaldi_.update(peer.coordinates(), round_trip);
  }
  changed_ = true;
}

KnownPeer* PeerTable::State::find(const Peer& peer) const {
  for (const Members* members : {&own_, &balancers_, &cloud_}) {
    for (const KnownPeerPtr& known : *members) {
      if (known->registration().peer == peer) return known.get();
    }
  }
  return nullptr;
}

std::uint64_t PeerTable::State::forwarding(const Peer& peer, const Resources& demand) {
  const TimePoint now = clock_.now();
  const std::scoped_lock lock(mutex_);
  const std::uint64_t call = next_call_++;
  if (KnownPeer* known = find(peer)) known->send(call, demand, now);
  changed_ = true;
  return call;
}

void PeerTable::State::forwarded(const Peer& peer, std::uint64_t call, const Forwarded& outcome) {
  const TimePoint now = clock_.now();
  const std::scoped_lock lock(mutex_);
  KnownPeer* known = find(peer);
  if (known == nullptr) return;
  known->end(call);
  if (outcome.answered) known->succeeded(outcome.function, now);
  if (outcome.load_known) known->load(outcome.available, now);
  changed_ = true;
}

void PeerTable::State::failed(const Peer& peer, const Invocation& invocation, const Error& error) {
  const TimePoint now = clock_.now();
  const std::scoped_lock lock(mutex_);
  if (KnownPeer* known = find(peer)) known->failed(invocation.function->name, error, now);
  changed_ = true;
}

std::shared_ptr<const PeerSnapshot> PeerTable::State::peers() {
  const TimePoint now = clock_.now();
  const std::scoped_lock lock(mutex_);
  if (std::exchange(changed_, false)) publish(now);
  return snapshot_;
}

void PeerTable::State::publish(TimePoint now) {
  auto snapshot = std::make_shared<PeerSnapshot>();
  publish_neighbours(*snapshot, now);
  publish_cloud(*snapshot, now);
  snapshot_ = std::move(snapshot);
}

/// The nearest that answer, of each architecture as many as are wanted; those to be avoided are not counted
/// among them, and stand beside.
void PeerTable::State::publish_neighbours(PeerSnapshot& snapshot, TimePoint now) {
  std::vector<std::pair<Duration, KnownPeer*>> reachable;
  for (const KnownPeerPtr& peer : own_) {
    peer->published = false;
    if (peer->heard() && !peer->silent()) {
      reachable.emplace_back(distance(vivaldi_.coordinates(), peer->coordinates()), peer.get());
    }
  }
  std::sort(reachable.begin(), reachable.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second->id() < b.second->id();
  });
  std::map<std::pair<std::string_view, bool>, std::size_t> taken;
  for (const auto& [how_far, peer] : reachable) {
    std::size_t& count = taken[{peer->registration().peer.arch, peer->avoided(now)}];
    if (count >= options_.neighbours) continue;
    ++count;
    peer->published = true;
    snapshot.neighbours.push_back(peer->view(now));
  }
}

void PeerTable::State::publish_cloud(PeerSnapshot& snapshot, TimePoint now) {
  for (const KnownPeerPtr& peer : cloud_) peer->published = false;
  for (const KnownPeerPtr& peer : balancers_) snapshot.cloud.push_back(peer->view(now));
  // One that died stays registered until its lease has ended: until then the nodes are a way as well.
  const bool any_good = std::any_of(balancers_.begin(), balancers_.end(),
                                    [](const KnownPeerPtr& peer) { return !peer->failing(); });
  if (any_good) return;
  std::vector<KnownPeer*> nodes;
  for (const KnownPeerPtr& peer : cloud_) nodes.push_back(peer.get());
  std::stable_sort(nodes.begin(), nodes.end(), [&](const KnownPeer* a, const KnownPeer* b) {
    if (a->avoided(now) != b->avoided(now)) return b->avoided(now);
    return a->available().memory_mb > b->available().memory_mb;
  });
  if (nodes.size() > kMostCloud) nodes.resize(kMostCloud);
  for (KnownPeer* peer : nodes) {
    peer->published = true;
    snapshot.cloud.push_back(peer->view(now));
  }
}

Coordinates PeerTable::State::coordinates() const {
  const std::scoped_lock lock(mutex_);
  return vivaldi_.coordinates();
}

PeerTable::PeerTable(PeerTableOptions options, Clock& clock, std::uint64_t seed)
    : state_(std::make_unique<State>(std::move(options), clock, seed)) {}
PeerTable::~PeerTable() = default;

void PeerTable::set_members(const AreaMembers& own, const AreaMembers& cloud) {
  state_->set_members(own, cloud);
}
std::vector<PeerTable::Question> PeerTable::due(TimePoint now, std::size_t most) {
  return state_->due(now, most);
}
TimePoint PeerTable::next_due() const { return state_->next_due(); }
void PeerTable::answered(std::uint64_t peer, StatusReport report, TimePoint now) {
  state_->answered(peer, std::move(report), now);
}
std::uint64_t PeerTable::forwarding(const Peer& peer, const Resources& demand) {
  return state_->forwarding(peer, demand);
}
void PeerTable::forwarded(const Peer& peer, std::uint64_t call, const Forwarded& outcome) {
  state_->forwarded(peer, call, outcome);
}
std::shared_ptr<const PeerSnapshot> PeerTable::peers() const { return state_->peers(); }
void PeerTable::failed(const Peer& peer, const Invocation& invocation, const Error& error) {
  state_->failed(peer, invocation, error);
}
Coordinates PeerTable::coordinates() const { return state_->coordinates(); }

}  // namespace serverledge
