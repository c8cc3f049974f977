#include "serverledge/policy/keep_alive_policy.hpp"

#include <algorithm>

namespace serverledge {

double TtlKeepAlive::on_idle(const IdleContainer& /*container*/) { return 0; }

TimePoint TtlKeepAlive::expires(const IdleContainer& container) const {
  return later(container.idle_since, ttl_);
}

double GreedyDualKeepAlive::on_idle(const IdleContainer& container) {
  // A start is never free: without this floor functions of unknown cost would all look alike.
  const double cost = std::max(seconds(container.init_time), 0.001);
  const double size = static_cast<double>(std::max<std::int64_t>(container.memory_mb, 1));
  return clock_ + static_cast<double>(container.uses) * cost / size;
}

void GreedyDualKeepAlive::on_evicted(const IdleContainer& container) {
  clock_ = std::max(clock_, container.priority);
}

TimePoint GreedyDualKeepAlive::expires(const IdleContainer& container) const {
  return later(container.idle_since, ttl_);
}

std::vector<std::string_view> keep_alive_policy_names() { return {"ttl", "greedydual"}; }

std::unique_ptr<KeepAlivePolicy> make_keep_alive_policy(std::string_view name, Duration ttl) {
  if (name == "ttl") return std::make_unique<TtlKeepAlive>(ttl);
  if (name == "greedydual") return std::make_unique<GreedyDualKeepAlive>(ttl);
  return nullptr;
}

}  // namespace serverledge
