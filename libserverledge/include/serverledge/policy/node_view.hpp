#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/invocation.hpp"
#include "serverledge/core/peer_snapshot.hpp"
#include "serverledge/core/resources.hpp"

namespace serverledge {

/// What this process has learnt of a function so far. Averages are exponentially weighted; 0 before the first
/// sample.
struct FunctionEstimate {
  double arrival_rate = 0;      ///< invocations per second
  Duration duration{0};         ///< of a call
  Duration init_time{0};        ///< of a cold start
  double cold_probability = 0;  ///< share of calls that needed a start, 0 to 1
  double input_bytes = 0;
  double output_bytes = 0;
  std::uint64_t completions = 0;
};

/// The container pool as it is now, for one function and in total.
struct PoolView {
  Resources total;          ///< what the node has
  Resources busy;           ///< held by containers with calls (or starting)
  Resources held;           ///< held by all containers, also idle ones and those being removed
  int warm = 0;             ///< idle containers of this function
  int busy_containers = 0;  ///< containers of this function with calls
  int starting = 0;         ///< containers of this function that are being started
  std::size_t queued = 0;   ///< calls that wait, of all functions
  std::size_t queue_capacity = 0;
};

/// What a policy sees when it decides. A small value, made for this decision.
struct NodeView {
  TimePoint now{};
  PoolView pool;
  FunctionEstimate function;
  std::shared_ptr<const PeerSnapshot> peers;  ///< never null
  std::string_view architecture;              ///< of this node: "amd64" or "arm64"
  bool runnable_here = true;                  ///< architecture and runtime of the function are served here
  double cost_budget = 0;                     ///< what offloading may cost per hour; 0: unlimited
};

}  // namespace serverledge
