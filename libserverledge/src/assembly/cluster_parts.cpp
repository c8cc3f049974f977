#include "assembly/cluster_parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "serverledge/cluster/stored_directory.hpp"

namespace serverledge {
namespace {

/// Within which nodes that calls may be offloaded to are asked again.
constexpr Duration kFresh = std::chrono::seconds(2);

PeerTableOptions table_options(const Configuration& configuration, const std::string& node_key) {
  PeerTableOptions options;
  options.key = node_key;
  options.area = configuration.text("registry.area");
  options.neighbours = static_cast<std::size_t>(configuration.integer("registry.neighbours"));
  options.interval = configuration.duration("registry.nearby.interval");
  options.fresh = std::min(kFresh, options.interval);
  return options;
}

StatusExchangeOptions exchange_options(const Configuration& configuration) {
  StatusExchangeOptions options;
  const std::string listen = configuration.text("api.listen");
  const bool is_ipv4 = !listen.empty() && listen.find_first_not_of("0123456789.") == std::string::npos;
  if (is_ipv4) options.address = listen;
  options.port = static_cast<int>(configuration.integer("registry.udp.port"));
  return options;
}

StoredDirectoryOptions directory_options(const Configuration& configuration) {
  StoredDirectoryOptions options;
  options.areas.push_back(configuration.text("registry.area"));
  if (configuration.is_set("registry.remote.area"))
    options.areas.push_back(configuration.text("registry.remote.area"));
  options.lease = configuration.duration("registry.lease");
  return options;
}

}  // namespace

Result<std::unique_ptr<ClusterParts>> ClusterParts::make(const Configuration& configuration,
                                                         const std::string& node_key,
                                                         const std::string& architecture,
                                                         KeyValueStore& store, Observer& observer,
                                                         Clock& clock) {
  const std::string area = configuration.text("registry.area");
  const std::string remote = configuration.text("registry.remote.area");
  if (auto good = check_registry_name("registry.area", area); !good)
    return Unexpected(std::move(good).error());
  if (auto good = check_registry_name("registry.node.id", node_key); !good)
    return Unexpected(std::move(good).error());
  if (!remote.empty()) {
    if (auto good = check_registry_name("registry.remote.area", remote); !good)
      return Unexpected(std::move(good).error());
    if (remote == area) {
      return Unexpected(ErrorCode::kInvalid,
                        "registry.remote.area: it must be another area than registry.area");
    }
  }
  return std::unique_ptr<ClusterParts>(
      new ClusterParts(configuration, node_key, architecture, store, observer, clock));
}

ClusterParts::ClusterParts(const Configuration& configuration, const std::string& node_key,
                           std::string architecture, KeyValueStore& store, Observer& observer, Clock& clock)
    : key_(node_key),
      area_(configuration.text("registry.area")),
      remote_area_(configuration.text("registry.remote.area")),
      architecture_(std::move(architecture)),
      address_(configuration),
      client_({}, clock),
      table_(table_options(configuration, node_key), clock, entropy()),
      link_(client_, table_, clock),
      exchange_(std::make_unique<StatusExchange>(
          exchange_options(configuration), table_, [this] { return own_status(); }, clock, observer)),
      directory_(make_stored_directory(directory_options(configuration), store, observer)) {
  directory_->on_change([this] { follow_members(); });
  follow_members();
}

ClusterParts::~ClusterParts() {
  leave();
  directory_->on_change({});
  close();
}

StatusReport ClusterParts::own_status() const {
  StatusReport report = status_report(node_->status());
  report.coordinates = table_.coordinates();
  return report;
}

void ClusterParts::follow_members() {
  table_.set_members(directory_->members(area_),
                     remote_area_.empty() ? AreaMembers() : directory_->members(remote_area_));
  exchange_->wake();
}

Result<void> ClusterParts::join(const Node& node, int port) {
  node_ = &node;
  const Result<int> udp_port = exchange_->start();
  if (!udp_port) {
    Error error = udp_port.error();
    error.message.insert(0, "registry.udp.port: ");
    return Unexpected(std::move(error));
  }
  directory_->enlist({.key = key_,
                      .area = area_,
                      .arch = architecture_,
                      .port = port,
                      .udp_port = *udp_port,
                      .balancer = false,
                      .address = [this] { return address_.get(); }});
  return {};
}

void ClusterParts::leave() { directory_->withdraw(); }

void ClusterParts::close() { exchange_->stop(); }

std::vector<std::string> ClusterParts::notices() const {
  return address_.notices("this node", "only nodes on this machine can offload to it");
}

}  // namespace serverledge
