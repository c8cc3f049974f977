#include "serverledge/policy/edge_cloud_policy.hpp"

#include "serverledge/policy/peer_choice.hpp"

namespace serverledge {

Decision EdgeCloudPolicy::on_arrival(const Invocation& invocation, const NodeView& view) {
  Decision decision;
  if (view.runnable_here) decision.add(RunHere{});
  if (invocation.can_offload) add_peers(decision, view.peers->cloud, invocation, view.now, random_);
  if (view.runnable_here) decision.add(WaitHere{});
  if (decision.size() == 0) decision.add(Refuse{"this node cannot run the function, and no other is there"});
  return decision;
}

}  // namespace serverledge
