#pragma once

#include "serverledge/policy/offloading_policy.hpp"

namespace serverledge {

/// Runs a call here if that is possible now, else hands it to the cloud, else lets it wait here.
class EdgeCloudPolicy final : public OffloadingPolicy {
 public:
  explicit EdgeCloudPolicy(const PolicyContext& context) : random_(*context.random) {}
  Decision on_arrival(const Invocation& invocation, const NodeView& view) override;

 private:
  Random& random_;
};

}  // namespace serverledge
