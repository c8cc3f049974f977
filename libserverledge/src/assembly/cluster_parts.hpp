#pragma once

#include <memory>
#include <string>
#include <vector>

#include "assembly/own_address.hpp"
#include "serverledge/cluster/http_peer_link.hpp"
#include "serverledge/cluster/peer_table.hpp"
#include "serverledge/cluster/status_exchange.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/configuration.hpp"
#include "serverledge/core/key_value_store.hpp"
#include "serverledge/core/node_directory.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/core/status_report.hpp"
#include "serverledge/net/http_client.hpp"
#include "serverledge/node/node.hpp"

namespace serverledge {

/// What makes a node a member of a cluster: directory, status exchange, link to the others. Built before the
/// node, which uses its table and its link; it joins when the node listens.
class ClusterParts {
 public:
  /// `architecture` is this node's. kInvalid, naming the key, for an area or node key that cannot be
  /// registered.
  static Result<std::unique_ptr<ClusterParts>> make(const Configuration& configuration,
                                                    const std::string& node_key,
                                                    const std::string& architecture, KeyValueStore& store,
                                                    Observer& observer, Clock& clock);
  ~ClusterParts();
  ClusterParts(const ClusterParts&) = delete;
  ClusterParts& operator=(const ClusterParts&) = delete;

  PeerSource& peers() { return table_; }
  PeerLink& link() { return link_; }
  Coordinates coordinates() const { return table_.coordinates(); }

  /// Begins the exchange and registers the node, which listens on that port. kUnavailable, naming the key, if
  /// the UDP port cannot be had. The node must outlive `close`.
  Result<void> join(const Node& node, int port);
  /// Deregisters: nothing more is sent here by those who hear of it.
  void leave();
  /// Ends the exchange; calls to other nodes still go on. Idempotent.
  void close();
  /// Sentences for the operator.
  std::vector<std::string> notices() const;

 private:
  ClusterParts(const Configuration& configuration, const std::string& node_key, std::string architecture,
               KeyValueStore& store, Observer& observer, Clock& clock);
  void follow_members();
  StatusReport own_status() const;

  const std::string key_;
  const std::string area_;
  const std::string remote_area_;
  const std::string architecture_;
  const OwnAddress address_;
  const Node* node_ = nullptr;  // set before the exchange begins
  HttpClient client_;
  PeerTable table_;
  HttpPeerLink link_;
  std::unique_ptr<StatusExchange> exchange_;
  std::unique_ptr<NodeDirectory> directory_;  // ends first: it tells the others
};

}  // namespace serverledge
