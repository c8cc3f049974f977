#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/node_directory.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/net/http_client.hpp"
#include "serverledge/policy/balancer.hpp"

namespace serverledge {

/// The nodes of an area as the balancer has them: follows the directory, and asks those that have been silent
/// for a moment whether they are there. Thread-safe. The parts must outlive it.
class Targets {
 public:
  Targets(std::string area, BalancerOptions options, NodeDirectory& directory, Clock& clock,
          Observer& observer);
  /// Ends the threads.
  ~Targets();
  Targets(const Targets&) = delete;
  Targets& operator=(const Targets&) = delete;

  using Tried = std::span<const Balancer::TargetId>;
  /// See Balancer.
  std::optional<Balancer::Choice> choose(const BalancedCall& call, Tried tried);
  std::optional<Balancer::Choice> next(Tried tried);
  void ended(const Balancer::Choice& choice, const BalancedCall& call, const BalancedOutcome& outcome,
             std::string_view reason);
  /// Those that may have accepted the call of that id; they count as chosen only after `begin`.
  std::vector<Balancer::Choice> accepted(std::string_view request_id) const;
  void begin(const Balancer::Choice& choice);
  bool any_up() const;
  std::vector<Balancer::State> states() const;

 private:
  void follow();
  void probe(const std::stop_token& stop);
  void ask(const Balancer::Choice& choice);
  void tell(const Balancer::Choice& choice, bool up, std::string_view reason);

  const std::string area_;
  NodeDirectory& directory_;
  Clock& clock_;
  Observer& observer_;
  HttpClient probes_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  Balancer balancer_;
  std::uint64_t changes_ = 0;  // of the members
  std::vector<std::jthread> probers_;
};

}  // namespace serverledge
