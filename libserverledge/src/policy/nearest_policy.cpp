#include "serverledge/policy/nearest_policy.hpp"

#include "serverledge/policy/peer_choice.hpp"

namespace serverledge {

Decision NearestPolicy::on_arrival(const Invocation& invocation, const NodeView& view) {
  Decision decision;
  if (view.runnable_here) decision.add(RunHere{});
  if (invocation.can_offload) {
    for (const auto* peers : {&view.peers->neighbours, &view.peers->cloud}) {
      add_peers(decision, *peers, invocation, view.now, random_, 1);
    }
  }
  if (view.runnable_here) decision.add(WaitHere{});
  if (decision.size() == 0) decision.add(Refuse{"this node cannot run the function, and no other is there"});
  return decision;
}

}  // namespace serverledge
