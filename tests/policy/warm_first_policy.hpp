#pragma once

#include "serverledge/policy/offloading_policy.hpp"
#include "serverledge/policy/peer_choice.hpp"

// The policy that docs/writing-policies.md writes, which shows this class.
namespace serverledge::test {

/// Runs a call where an idle container of its function is, here or on a neighbour; else here.
class WarmFirstPolicy final : public OffloadingPolicy {
 public:
  explicit WarmFirstPolicy(const PolicyContext& /*context*/) {}

  Decision on_arrival(const Invocation& invocation, const NodeView& view) override {
    Decision decision;
    if (view.pool.warm == 0 && invocation.can_offload) {
      for (const PeerView& peer : view.peers->neighbours) {
        if (peer.warm(invocation.function->name) > 0 && serves(peer, *invocation.function) &&
            !peer.avoided(view.now)) {
          decision.add(OffloadTo{peer.peer});
          break;
        }
      }
    }
    add_here(decision, view);
    return decision;
  }
};

}  // namespace serverledge::test
