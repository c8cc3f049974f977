#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/key_value_store.hpp"
#include "serverledge/core/node_directory.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

struct StoredDirectoryOptions {
  std::vector<std::string> areas;              ///< that are followed
  Duration lease = std::chrono::seconds(120);  ///< a registration ends so long after its last renewal
  /// Folder in which the members are kept, for a start while the store is away; empty: nowhere.
  std::string kept_in = {};
};

/// The members of areas as the contract has them in a store: `registry/<area>/<arch>/<node key>` with
/// `ip;apiPort;udpPort;arch`, and `registry/<area>/__lb/<arch>/<node key>` of load balancers. A copy of the
/// areas is kept by watches; while the store is away it stays as it was, and begins as it was kept. Entries
/// that make no sense are logged and passed over.
///
/// One thread renews this node's registration four times in a lease, tries again every second while the store
/// does not take it, and writes it anew as soon as the watch tells that it has gone, or when the address has
/// become another. Thread-safe. The parts given by reference must outlive it.
std::unique_ptr<NodeDirectory> make_stored_directory(StoredDirectoryOptions options, KeyValueStore& store,
                                                     Observer& observer);

/// Whether a text may be an area or a node's key: not empty, and none of it ends a part of a key or value.
bool is_registry_name(std::string_view name);

/// The key and the value of a registration.
std::string registration_key(std::string_view area, std::string_view arch, std::string_view key,
                             bool balancer);
std::string registration_value(std::string_view host, int port, int udp_port, std::string_view arch);

/// An entry of an area read back. The architecture of the key counts: in the value Go nodes tell what they
/// were compiled for.
struct ReadRegistration {
  Registration registration;
  bool balancer = false;
};
/// kInvalid, saying why, if it is none.
Result<ReadRegistration> read_registration(std::string_view area, std::string_view key,
                                           std::string_view value);

}  // namespace serverledge
