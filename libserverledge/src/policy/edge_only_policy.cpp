#include "serverledge/policy/edge_only_policy.hpp"

#include "serverledge/policy/peer_choice.hpp"

namespace serverledge {

Decision EdgeOnlyPolicy::on_arrival(const Invocation& invocation, const NodeView& view) {
  Decision decision;
  if (invocation.can_offload) add_peers(decision, view.peers->neighbours, invocation, view.now, random_);
  add_here(decision, view);
  return decision;
}

}  // namespace serverledge
