#pragma once

#include "serverledge/policy/offloading_policy.hpp"

namespace serverledge {

/// Runs a call as near as it can: here if that is possible now, else on a neighbour, else in the cloud, else
/// it waits here.
class NearestPolicy final : public OffloadingPolicy {
 public:
  explicit NearestPolicy(const PolicyContext& context) : random_(*context.random) {}
  Decision on_arrival(const Invocation& invocation, const NodeView& view) override;

 private:
  Random& random_;
};

}  // namespace serverledge
