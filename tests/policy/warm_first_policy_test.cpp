#include "policy/warm_first_policy.hpp"

#include <catch2/catch.hpp>

namespace serverledge::test {
namespace {

struct Situation {
  int warm_here = 0;
  int warm_there = 0;
  bool can_offload = true;
};

/// The first choice: "here", or the key of a node.
std::string first_choice(const Situation& situation) {
  Function function;
  function.name = "f";
  PeerSnapshot peers;
  PeerView neighbour;
  neighbour.peer.key = "neighbour";
  neighbour.idle = std::make_shared<const WarmContainers>(WarmContainers{{"f", situation.warm_there}});
  peers.neighbours.push_back(neighbour);
  NodeView view;
  view.pool.warm = situation.warm_here;
  view.peers = std::make_shared<const PeerSnapshot>(peers);
  Invocation invocation;
  invocation.function = std::make_shared<const Function>(function);
  invocation.can_offload = situation.can_offload;
  WarmFirstPolicy policy({});
  const Decision decision = policy.on_arrival(invocation, view);
  const auto* offload = std::get_if<OffloadTo>(&decision[0]);
  return offload == nullptr ? "here" : offload->peer.key;
}

}  // namespace

TEST_CASE("The policy of docs/writing-policies.md goes where the function is warm", "[policy]") {
  CHECK(first_choice({.warm_here = 0, .warm_there = 1}) == "neighbour");
  CHECK(first_choice({.warm_here = 1, .warm_there = 1}) == "here");
  CHECK(first_choice({.warm_here = 0, .warm_there = 0}) == "here");
  CHECK(first_choice({.warm_here = 0, .warm_there = 1, .can_offload = false}) == "here");
}

}  // namespace serverledge::test
