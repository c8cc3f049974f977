#pragma once

#include <cstddef>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/invocation.hpp"
#include "serverledge/core/peer_snapshot.hpp"
#include "serverledge/policy/decision.hpp"
#include "serverledge/policy/node_view.hpp"

namespace serverledge {

/// Whether that node could run the function at all: its architecture is one of the function's.
bool serves(const PeerView& peer, const Function& function);
/// Whether a call of the function fits into what that node has free, as far as is known.
bool has_room(const PeerView& peer, const Function& function);

/// Adds up to `most` (two) of the peers to the choices: of two drawn by chance among those that can take the
/// call, first the one with an idle container of the function, else the one with more free memory. Those that
/// failed lately come into question only if there is no other; those that have just refused the function,
/// never.
void add_peers(Decision& decision, const std::vector<PeerView>& peers, const Invocation& invocation,
               TimePoint now, Random& random, std::size_t most = 2);
/// Adds running and waiting here, or, where this node cannot run the function, a refusal.
void add_here(Decision& decision, const NodeView& view);

}  // namespace serverledge
