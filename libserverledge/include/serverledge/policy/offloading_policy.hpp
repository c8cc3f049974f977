#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/invocation.hpp"
#include "serverledge/policy/decision.hpp"
#include "serverledge/policy/node_view.hpp"

namespace serverledge {

/// Decides for each invocation where it runs. A pure decision: no I/O, no clock but `view.now`.
/// Called by one thread at a time (the caller holds the policy's mutex), never under a lock of the node; must
/// not call the node back. One that throws is counted, logged, and treated as `localonly`.
class OffloadingPolicy {
 public:
  virtual ~OffloadingPolicy() = default;
  /// The choices for this invocation, best first. Ask `invocation.can_offload` before offloading.
  virtual Decision on_arrival(const Invocation& invocation, const NodeView& view) = 0;
  /// An invocation that this node accepted has ended.
  virtual void on_completion(const Invocation& /*invocation*/, const ExecutionReport& /*report*/) {}
  /// About once a second.
  virtual void on_tick(const NodeView& /*view*/) {}
};

/// What policies may need to be made.
struct PolicyContext {
  Random* random = nullptr;     ///< outlives the policy; used by its calls alone
  bool fallback_local = false;  ///< run here what could not be offloaded (`scheduler.fallback.local`)
};

/// A policy by its name in `scheduler.policy`; null if there is none of that name.
std::unique_ptr<OffloadingPolicy> make_offloading_policy(std::string_view name, const PolicyContext& context);
/// The names that `make_offloading_policy` knows.
std::vector<std::string_view> offloading_policy_names();

}  // namespace serverledge
