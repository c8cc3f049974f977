#pragma once

#include <memory>
#include <string>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/configuration.hpp"
#include "serverledge/core/key_value_store.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/net/http_server.hpp"
#include "serverledge/node/node.hpp"
#include "serverledge/observe/metrics.hpp"
#include "serverledge/observe/pushgateway.hpp"
#include "serverledge/observe/tracer.hpp"

namespace serverledge {

/// Who watches a node. What the configuration does not ask for is null, and costs nothing.
struct Observers {
  std::shared_ptr<Observer> all;  ///< never null
  std::shared_ptr<Metrics> metrics;
  std::shared_ptr<Tracer> tracer;
};

/// The log as configured.
std::shared_ptr<Observer> log_observer(const Configuration& configuration, Clock& clock);

/// The log (or `given` in its place), and what else the configuration asks for. `node_key` is the node's.
/// Errors name the key.
Result<Observers> make_observers(const Configuration& configuration, std::shared_ptr<Observer> given,
                                 const std::string& node_key, Clock& clock);

/// The parts of a node that its metrics tell of. They must outlive who asks.
struct WatchedParts {
  Node& node;
  KeyValueStore& store;
  HttpServer& server;
  PeerSource* peers = nullptr;
  const Tracer* tracer = nullptr;
};
/// What they are at now.
NodeSample sample_of(const WatchedParts& parts);

/// Pushes `text` where the configuration says; null if it says nothing.
std::unique_ptr<PushgatewayPusher> make_pusher(const Configuration& configuration,
                                               const std::string& node_key, std::function<std::string()> text,
                                               Observer& observer, Clock& clock);

}  // namespace serverledge
