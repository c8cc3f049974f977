#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/function_registry.hpp"
#include "serverledge/core/node_directory.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/net/http_server.hpp"
#include "serverledge/policy/balancer.hpp"

namespace serverledge {

/// What became of a request, for statistics. The words are from fixed lists: see docs/load-balancer.md.
struct BalancedRequest {
  std::string_view route;
  std::string_view outcome;
  int status = 0;    ///< of the answer
  Duration took{0};  ///< from the whole request to its answer
};

struct LoadBalancerOptions {
  std::string area;  ///< whose nodes are the targets
  BalancerOptions balancing;
  std::size_t body_max = std::size_t{6} << 20U;    ///< bytes of a request's body
  std::size_t code_max = std::size_t{64} << 20U;   ///< bytes of a function's code, before base64
  Duration queue_time = std::chrono::seconds(30);  ///< that a call without QoSMaxRespT may wait at a node
  Duration start_time = std::chrono::seconds(30);  ///< of a container
  Duration call_time = std::chrono::seconds(60);   ///< of a function that says nothing itself
  Duration change_time =
      std::chrono::minutes(11);  ///< of what is no call: a node may fetch code, pull images

  /// Told of each request that nodes are to answer, by the thread that answers it. May be empty.
  std::function<void(const BalancedRequest&)> on_answer;
  /// Told when a request goes to a further node, and why, in a word. May be empty.
  std::function<void(std::string_view reason)> on_retry;
  /// The text of `/metrics`; empty: there is no such route.
  std::function<std::string()> metrics;
  /// What keeps the balancer from its work although it runs, for `/readyz` (503); an empty text: nothing. May
  /// be empty.
  std::function<std::string()> obstacle;
};

/// The routes of a node, answered by the nodes of an area: a call by the one that its function belongs to
/// (see Balancer), the rest by any. Members are followed by the directory; one that refuses connections or is
/// silent gets nothing until it answers again. A request is sent to a second node only if the first provably
/// has not worked on it (or if it is a GET); else the caller is told that the outcome is unknown.
///
/// Thread-safe. The parts given by reference must outlive it, and the server be stopped before it ends.
class LoadBalancer {
 public:
  using Options = LoadBalancerOptions;
  /// Adds its routes to the server. Records of functions are hints: what they need, where they can run.
  LoadBalancer(Options options, HttpServer& server, NodeDirectory& directory, FunctionRegistry& functions,
               Clock& clock, Observer& observer);
  ~LoadBalancer();
  LoadBalancer(const LoadBalancer&) = delete;
  LoadBalancer& operator=(const LoadBalancer&) = delete;

  /// Says at /readyz that it is about to stop.
  void leave();
  /// How the nodes are, in the order of their keys.
  std::vector<Balancer::State> targets() const;

 private:
  class Machine;
  std::unique_ptr<Machine> machine_;
};

}  // namespace serverledge
