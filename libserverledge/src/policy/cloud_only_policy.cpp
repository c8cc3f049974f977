#include "serverledge/policy/cloud_only_policy.hpp"

#include "serverledge/policy/peer_choice.hpp"

namespace serverledge {

Decision CloudOnlyPolicy::on_arrival(const Invocation& invocation, const NodeView& view) {
  Decision decision;
  if (invocation.can_offload) add_peers(decision, view.peers->cloud, invocation, view.now, random_);
  if (fallback_local_ || !invocation.can_offload) {
    add_here(decision, view);
  } else {
    decision.add(Refuse{"no node of the cloud can take the call (scheduler.fallback.local runs it here)"});
  }
  return decision;
}

}  // namespace serverledge
