#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/configuration.hpp"
#include "serverledge/core/container_runtime.hpp"
#include "serverledge/core/function.hpp"
#include "serverledge/core/key_value_store.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/node/node.hpp"
#include "serverledge/policy/offloading_policy.hpp"

namespace serverledge {

/// Parts to be used in place of those that the configuration asks for. What is null is made as configured.
struct Overrides {
  std::unique_ptr<ContainerRuntime> runtime;
  std::unique_ptr<OffloadingPolicy> policy;
  std::unique_ptr<KeyValueStore> store;
  std::shared_ptr<Observer> observer;
  Clock* clock = nullptr;  ///< must outlive the node
};

/// A whole node with its HTTP interface. Thread-safe. The destructor stops it at once.
class OpenedNode final {
 public:
  ~OpenedNode();
  OpenedNode(const OpenedNode&) = delete;
  OpenedNode& operator=(const OpenedNode&) = delete;
  struct Parts;  ///< what it is made of: for `open_node` alone

  /// Listens and serves. kUnavailable, naming the configuration key, if the address cannot be had.
  Result<void> start();
  /// Refuses what is new, lets run what runs for `drain` at most, ends the rest and answers it; returns when
  /// no call, container, thread or connection is left. Idempotent; a second call with a shorter time shortens
  /// the first.
  void stop(Duration drain);

  /// Where it listens, for a client on this machine: "127.0.0.1:1323". Empty before `start`.
  std::string address() const;
  /// The port it listens on; 0 before `start`.
  int port() const;
  /// Without its transport: to invoke functions in the process.
  Node& node();
  /// Stores a new function, after the same checks as `/create`, whose body (docs/api.md) the request is.
  /// Errors as there: kInvalid naming the field, kExists, kNotFound for a runtime that is not served,
  /// kTooLarge, kUnprocessable for what this node can never run, kUnavailable.
  Result<FunctionPtr> create_function(std::string_view request);
  /// The same, whether or not there was one of that name.
  Result<FunctionPtr> update_function(std::string_view request);
  /// The same of a function that is made in code, and its code: a tar, plain or gzip, or one source file.
  Result<FunctionPtr> create_function(Function function, std::string_view code);
  Result<FunctionPtr> update_function(Function function, std::string_view code);
  /// The object that `/status` answers, as JSON.
  std::string status() const;
  /// Sentences for the operator: what is missing on this machine, what a setting means that is easily
  /// overlooked.
  const std::vector<std::string>& notices() const;

 private:
  friend Result<std::unique_ptr<OpenedNode>> open_node(const Configuration& configuration,
                                                       Overrides overrides);
  explicit OpenedNode(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

/// Builds a node from its configuration: store, registry, runtime, policies, HTTP interface. It runs calls
/// that are made in the process from then on, and listens after `start`. Errors name the key and what to do;
/// nothing is left behind then.
Result<std::unique_ptr<OpenedNode>> open_node(const Configuration& configuration, Overrides overrides = {});

/// Whether the settings fit together and name things that exist, as far as can be told without touching the
/// machine. kInvalid naming the key. `open_node` begins with it.
Result<void> check_configuration(const Configuration& configuration);

}  // namespace serverledge
