#pragma once

#include <memory>
#include <string>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/configuration.hpp"
#include "serverledge/core/key_value_store.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// Where a node keeps things.
struct Stores {
  std::unique_ptr<KeyValueStore> disk;    ///< with a cluster: this node's own, for when the cluster is away
  std::unique_ptr<KeyValueStore> shared;  ///< functions and results: etcd, or without one the disk
};

/// Opens the etcd that `etcd.address` names. Errors name the key.
Result<std::unique_ptr<KeyValueStore>> open_cluster_store(const Configuration& configuration, Clock& clock);

/// Opens what the configuration names: etcd with `etcd.address`, and a store in the folder `path` in any
/// case. Errors name the key.
Result<Stores> open_stores(const Configuration& configuration, const std::string& path, Clock& clock);

}  // namespace serverledge
