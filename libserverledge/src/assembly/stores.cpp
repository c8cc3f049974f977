#include "assembly/stores.hpp"

#include <utility>

#include "serverledge/cluster/embedded_store.hpp"
#include "serverledge/cluster/etcd_store.hpp"

namespace serverledge {

Result<std::unique_ptr<KeyValueStore>> open_cluster_store(const Configuration& configuration, Clock& clock) {
  EtcdOptions options;
  options.endpoints = configuration.list("etcd.address");
  options.user = configuration.text("etcd.user");
  options.password = configuration.text("etcd.password");
  options.ca = configuration.text("etcd.ca");
  options.certificate = configuration.text("etcd.cert");
  options.key = configuration.text("etcd.key");
  return open_etcd_store(options, clock);
}

Result<Stores> open_stores(const Configuration& configuration, const std::string& path, Clock& clock) {
  Result<std::unique_ptr<KeyValueStore>> own = open_embedded_store(path, clock);
  if (!own) {
    own.error().message.insert(0, "store.path: ");
    return Unexpected(std::move(own).error());
  }
  if (!configuration.is_set("etcd.address")) return Stores{nullptr, std::move(*own)};
  Result<std::unique_ptr<KeyValueStore>> etcd = open_cluster_store(configuration, clock);
  if (!etcd) return Unexpected(std::move(etcd).error());
  return Stores{std::move(*own), std::move(*etcd)};
}

}  // namespace serverledge
