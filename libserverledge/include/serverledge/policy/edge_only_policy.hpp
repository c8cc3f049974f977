#pragma once

#include "serverledge/policy/offloading_policy.hpp"

namespace serverledge {

/// Hands a call to the better of two neighbours drawn by chance, then to the other one; without a neighbour
/// that can take it, or if both refuse, it runs or waits here.
class EdgeOnlyPolicy final : public OffloadingPolicy {
 public:
  explicit EdgeOnlyPolicy(const PolicyContext& context) : random_(*context.random) {}
  Decision on_arrival(const Invocation& invocation, const NodeView& view) override;

 private:
  Random& random_;
};

}  // namespace serverledge
