#pragma once

#include "serverledge/policy/offloading_policy.hpp"

namespace serverledge {

/// Runs everything here, waits in the queue if there is one, and never offloads.
class LocalOnlyPolicy final : public OffloadingPolicy {
 public:
  LocalOnlyPolicy() = default;
  explicit LocalOnlyPolicy(const PolicyContext& /*context*/) {}
  Decision on_arrival(const Invocation& invocation, const NodeView& view) override;
};

}  // namespace serverledge
