#pragma once

#include <memory>
#include <string>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/key_value_store.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// Where etcd is and how to be let in. Files are PEM.
struct EtcdOptions {
  /// "host:port", "http://host:port" or "https://host:port"; without a scheme TLS is used if a file is named
  /// below. Several are members of one cluster: another one is asked when one does not answer.
  std::vector<std::string> endpoints = {};
  std::string user = {};         ///< empty: no authentication
  std::string password = {};     ///< of the user
  std::string ca = {};           ///< who signed etcd's certificate; empty: whom this machine trusts
  std::string certificate = {};  ///< of this client, if etcd asks for one; with `key`
  std::string key = {};
  /// What a call may take, over all endpoints.
  Duration deadline = std::chrono::seconds(5);
};

/// The store of a cluster: etcd v3. Nothing is asked yet: a cluster that is away is one whose calls fail with
/// kUnavailable until it is there. kInvalid, naming it, if an address is none or a file cannot be read.
///
/// What it adds to the contract of KeyValueStore: a value over etcd's request limit (1.5 MiB by default) is
/// kTooLarge. A write that fails with kUnavailable may have been done. A ttl up to 5 minutes is exact (in
/// whole seconds, 2 at least); entries with a longer one share leases by the minute, and live up to a minute
/// longer; `refresh` of one of these refreshes all that share its lease. Each watch has a thread, on which
/// its listener may block. A watch whose connection breaks goes on from where it was, or begins with a reset
/// where etcd has compacted that or lost its data. To tell the latter, the store keeps a name of its own
/// under `/serverledge/incarnation`. `healthy` says no after a call that failed, and while one has had no
/// answer for a second.
///
/// gRPC's own threads come with it. `clock` must outlive the store.
Result<std::unique_ptr<KeyValueStore>> open_etcd_store(const EtcdOptions& options, Clock& clock);

}  // namespace serverledge
