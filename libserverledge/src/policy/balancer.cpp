#include "serverledge/policy/balancer.hpp"

#include <algorithm>
#include <cmath>

namespace serverledge {
namespace {

/// How long a target's word about what is free there counts, and its refusal of a function.
constexpr Duration kNewsValid = std::chrono::seconds(2);
constexpr Duration kRefusalValid = std::chrono::seconds(1);

/// The finalizer of splitmix64: near arguments give unrelated values.
std::uint64_t mixed(std::uint64_t value) {
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

/// FNV-1a: the same in every balancer of an area, so that they agree on where a function belongs.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return mixed(hash);
}

bool contains(std::span<const Balancer::TargetId> ids, Balancer::TargetId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

bool serves(const Peer& peer, std::span<const std::string> archs) {
  return archs.empty() || std::find(archs.begin(), archs.end(), peer.arch) != archs.end();
}

}  // namespace

void Balancer::set_targets(const std::vector<Peer>& peers) {
  std::vector<Target> targets;
  targets.reserve(peers.size());
  for (const Peer& peer : peers) {
    const auto known = std::find_if(targets_.begin(), targets_.end(),
                                    [&](const Target& target) { return target.peer == peer; });
    if (known != targets_.end()) {
      targets.push_back(std::move(*known));
      targets_.erase(known);
    } else {
      Target target;
      target.id = next_id_++;
      target.peer = peer;
      target.hash = hash_of(peer.key);  // not of its address: a node that has moved keeps its functions
      targets.push_back(std::move(target));
    }
  }
  targets_ = std::move(targets);
}

std::vector<Balancer::State> Balancer::states() const {
  std::vector<State> states;
  for (const Target& target : targets_) states.push_back({target.peer, !target.down, target.calls});
  return states;
}

bool Balancer::any_up() const {
  return std::any_of(targets_.begin(), targets_.end(), [](const Target& target) { return !target.down; });
}

Balancer::Target* Balancer::find(TargetId id) {
  const auto found =
      std::find_if(targets_.begin(), targets_.end(), [&](const Target& target) { return target.id == id; });
  return found == targets_.end() ? nullptr : &*found;
}

/// So large that of these targets at least one is below it, and so small that none is far above the others.
std::size_t Balancer::bound(std::size_t calls, std::size_t targets) const {
  const double share = static_cast<double>(calls + 1) / static_cast<double>(targets);
  return std::max(options_.spare, static_cast<std::size_t>(std::ceil(std::max(options_.bound, 1.0) * share)));
}

bool Balancer::fits(const Target& target, const BalancedCall& call, TimePoint now) const {
  if (!target.available || now - target.available_at > kNewsValid) return true;
  return call.demand.fits(*target.available);
}

bool Balancer::refuses(const Target& target, std::uint64_t function, TimePoint now) {
  return std::any_of(target.refusals.begin(), target.refusals.end(), [&](const Refusal& refusal) {
    return refusal.function == function && now < refusal.until;
  });
}

std::optional<Balancer::Choice> Balancer::choose(const BalancedCall& call, std::span<const TargetId> tried,
                                                 TimePoint now) {
  const std::uint64_t function = hash_of(call.function);
  for (const bool down : {false, true}) {
    const auto eligible = [&](const Target& target) {
      return target.down == down && serves(target.peer, call.archs) && !contains(tried, target.id);
    };
    std::size_t count = 0;
    std::size_t calls = 0;
    for (const Target& target : targets_) {
      if (!eligible(target)) continue;
      ++count;
      calls += target.calls;
    }
    if (count == 0) continue;
    const std::size_t most = bound(calls, count);
    Target* best = nullptr;
    std::pair<int, std::uint64_t> best_rank;
    for (Target& target : targets_) {
      if (!eligible(target) || target.calls >= most) continue;
      const int suits = refuses(target, function, now) ? 0 : fits(target, call, now) ? 2 : 1;
      const std::pair rank(suits, mixed(target.hash ^ function));
      if (best != nullptr && rank <= best_rank) continue;
      best = &target;
      best_rank = rank;
    }
    begin(best->id, call);
    return Choice{best->id, best->peer};
  }
  return std::nullopt;
}

std::optional<Balancer::Choice> Balancer::next(std::span<const TargetId> tried) {
  for (const bool down : {false, true}) {
    for (std::size_t step = 0; step < targets_.size(); ++step) {
      const Target& target = targets_[turn_++ % targets_.size()];
      if (target.down != down || contains(tried, target.id)) continue;
      begin(target.id, {});
      return Choice{target.id, target.peer};
    }
  }
  return std::nullopt;
}

void Balancer::begin(TargetId id, const BalancedCall& call) {
  Target* target = find(id);
  if (target == nullptr) return;
  ++target->calls;
  if (target->available) *target->available -= call.demand;
}

bool Balancer::heard(Target& target, TimePoint now) {
  target.heard = now;
  return std::exchange(target.down, false);
}

bool Balancer::ended(TargetId id, const BalancedCall& call, const BalancedOutcome& outcome, TimePoint now) {
  Target* target = find(id);
  if (target == nullptr) return false;  // it has gone
  --target->calls;
  if (outcome.available) {
    target->available = outcome.available;
    target->available_at = now;
  } else if (target->available) {
    *target->available += call.demand;
  }
  if (outcome.kind == BalancedOutcome::Kind::kAbandoned) return false;
  if (outcome.kind == BalancedOutcome::Kind::kFailed) return !std::exchange(target->down, true);
  std::erase_if(target->refusals, [&](const Refusal& refusal) { return refusal.until <= now; });
  if (outcome.kind == BalancedOutcome::Kind::kRefused)
    target->refusals.push_back({hash_of(call.function), later(now, kRefusalValid)});
  return heard(*target, now);
}

std::optional<Balancer::Choice> Balancer::due_probe(TimePoint now) {
  for (Target& target : targets_) {
    if (target.asking || later(std::max(target.heard, target.asked), options_.silence) > now) continue;
    target.asking = true;
    target.asked = now;
    return Choice{target.id, target.peer};
  }
  return std::nullopt;
}

TimePoint Balancer::next_probe() const {
  TimePoint next = TimePoint::max();
  for (const Target& target : targets_) {
    if (!target.asking) next = std::min(next, later(std::max(target.heard, target.asked), options_.silence));
  }
  return next;
}

bool Balancer::probed(TargetId id, bool answered, TimePoint now) {
  Target* target = find(id);
  if (target == nullptr) return false;
  target->asking = false;
  if (answered) return heard(*target, now);
  // What it has answered meanwhile counts more than a question that came too late.
  return target->heard < target->asked && !std::exchange(target->down, true);
}

}  // namespace serverledge
