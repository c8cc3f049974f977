#include "serverledge/policy/peer_choice.hpp"

#include <algorithm>
#include <utility>

namespace serverledge {
namespace {

/// Whether a call of the function is better off with `a`.
bool is_better(const PeerView& a, const PeerView& b, const Function& function) {
  const bool warm_a = a.warm(function.name) > 0;
  const bool warm_b = b.warm(function.name) > 0;
  if (warm_a != warm_b) return warm_a;
  return a.available.memory_mb > b.available.memory_mb;
}

std::vector<const PeerView*> candidates(const std::vector<PeerView>& peers, const Function& function,
                                        TimePoint now, bool avoided) {
  std::vector<const PeerView*> found;
  for (const PeerView& peer : peers) {
    if (peer.avoided(now) == avoided && serves(peer, function) && has_room(peer, function) &&
        !peer.refuses(function.name, now)) {
      found.push_back(&peer);
    }
  }
  return found;
}

}  // namespace

bool serves(const PeerView& peer, const Function& function) {
  const auto& archs = function.supported_archs;
  return archs.empty() || std::find(archs.begin(), archs.end(), peer.peer.arch) != archs.end();
}

bool has_room(const PeerView& peer, const Function& function) {
  if (!peer.known()) return true;
  return Resources{function.memory_mb, to_millicores(function.cpu_demand)}.fits(peer.available);
}

void add_peers(Decision& decision, const std::vector<PeerView>& peers, const Invocation& invocation,
               TimePoint now, Random& random, std::size_t most) {
  const Function& function = *invocation.function;
  std::vector<const PeerView*> found = candidates(peers, function, now, false);
  if (found.empty()) found = candidates(peers, function, now, true);
  if (found.empty()) return;
  // Two different ones, to the front.
  std::swap(found[0], found[random.below(found.size())]);
  if (found.size() == 1) return decision.add(OffloadTo{found[0]->peer});
  std::swap(found[1], found[1 + random.below(found.size() - 1)]);
  if (is_better(*found[1], *found[0], function)) std::swap(found[0], found[1]);
  decision.add(OffloadTo{found[0]->peer});
  if (most > 1) decision.add(OffloadTo{found[1]->peer});
}

void add_here(Decision& decision, const NodeView& view) {
  if (!view.runnable_here)
    return decision.add(Refuse{"this node cannot run the function, and no other is there"});
  decision.add(RunHere{});
  decision.add(WaitHere{});
}

}  // namespace serverledge
