#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "serverledge/core/clock.hpp"

namespace serverledge {

/// An idle container, as a keep-alive policy sees it.
struct IdleContainer {
  std::string_view function;
  std::int64_t memory_mb = 0;
  TimePoint idle_since{};
  Duration init_time{0};   ///< what its start cost
  std::uint64_t uses = 0;  ///< calls of its function that this pool has served
  double priority = 0;     ///< what `on_idle` gave it
};

/// Says which idle container goes first when memory is needed, and when one is kept no longer. Pure; called
/// under the pool's lock, so it must be quick.
class KeepAlivePolicy {
 public:
  virtual ~KeepAlivePolicy() = default;
  /// The container has become idle: its priority. The lowest is evicted first; equal ones by age.
  virtual double on_idle(const IdleContainer& container) = 0;
  /// The container was evicted under memory pressure.
  virtual void on_evicted(const IdleContainer& /*container*/) {}
  /// When it is given up though nobody needs its memory.
  virtual TimePoint expires(const IdleContainer& container) const = 0;
};

/// Least recently used goes first; everything is kept for a fixed time after its last use.
class TtlKeepAlive final : public KeepAlivePolicy {
 public:
  explicit TtlKeepAlive(Duration ttl) : ttl_(ttl) {}
  double on_idle(const IdleContainer& container) override;
  TimePoint expires(const IdleContainer& container) const override;

 private:
  Duration ttl_;
};

/// Greedy-Dual-Size-Frequency as in FaasCache (Fuerst and Sharma, ASPLOS 2021): priority = clock + frequency
/// * cost / size, where the clock is the highest priority evicted so far. Idle time is bounded by the same
/// ttl.
class GreedyDualKeepAlive final : public KeepAlivePolicy {
 public:
  explicit GreedyDualKeepAlive(Duration ttl) : ttl_(ttl) {}
  double on_idle(const IdleContainer& container) override;
  void on_evicted(const IdleContainer& container) override;
  TimePoint expires(const IdleContainer& container) const override;

 private:
  Duration ttl_;
  double clock_ = 0;
};

/// A policy by its name in `container.keepalive.policy`; null if there is none of that name.
std::unique_ptr<KeepAlivePolicy> make_keep_alive_policy(std::string_view name, Duration ttl);
std::vector<std::string_view> keep_alive_policy_names();

}  // namespace serverledge
