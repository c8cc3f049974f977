#pragma once

#include "serverledge/policy/offloading_policy.hpp"

namespace serverledge {

/// Hands every call that may be offloaded to the cloud. What the cloud does not take is refused, or runs here
/// if `scheduler.fallback.local` says so; what may not be offloaded runs here.
class CloudOnlyPolicy final : public OffloadingPolicy {
 public:
  explicit CloudOnlyPolicy(const PolicyContext& context)
      : random_(*context.random), fallback_local_(context.fallback_local) {}
  Decision on_arrival(const Invocation& invocation, const NodeView& view) override;

 private:
  Random& random_;
  const bool fallback_local_;
};

}  // namespace serverledge
