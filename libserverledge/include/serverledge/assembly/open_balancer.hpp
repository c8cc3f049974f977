#pragma once

#include <memory>
#include <string>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/configuration.hpp"
#include "serverledge/core/key_value_store.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// Parts to be used in place of those that the configuration asks for. What is null is made as configured.
struct BalancerOverrides {
  std::unique_ptr<KeyValueStore> store;
  std::shared_ptr<Observer> observer;
  Clock* clock = nullptr;  ///< must outlive the balancer
};

/// A load balancer with its HTTP interface: registered in its area, in front of the nodes there. Thread-safe.
/// The destructor stops it at once.
class OpenedBalancer final {
 public:
  ~OpenedBalancer();
  OpenedBalancer(const OpenedBalancer&) = delete;
  OpenedBalancer& operator=(const OpenedBalancer&) = delete;
  struct Parts;  ///< what it is made of: for `open_balancer` alone

  /// Listens, serves and registers. kUnavailable, naming the configuration key, if the address cannot be had.
  Result<void> start();
  /// Deregisters, accepts nothing new, lets run what runs for `drain` at most, and cuts off the rest.
  /// Idempotent; a second call with a shorter time, made meanwhile, waits for the first, which it shortens.
  void stop(Duration drain);

  /// Where it listens, for a client on this machine: "127.0.0.1:1323". Empty before `start`.
  std::string address() const;
  /// The port it listens on; 0 before `start`.
  int port() const;

 private:
  friend Result<std::unique_ptr<OpenedBalancer>> open_balancer(const Configuration& configuration,
                                                               BalancerOverrides overrides);
  explicit OpenedBalancer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

/// Builds a load balancer from its configuration, which must name etcd. Errors name the key.
Result<std::unique_ptr<OpenedBalancer>> open_balancer(const Configuration& configuration,
                                                      BalancerOverrides overrides = {});

/// Whether a load balancer can be made of these settings, as far as can be told without touching the machine.
/// kInvalid naming the key. `open_balancer` begins with it.
Result<void> check_balancer_configuration(const Configuration& configuration);

}  // namespace serverledge
