#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "cluster/etcd_connection.hpp"
#include "cluster/etcd_keep_alive.hpp"

namespace serverledge {

/// Leases, by which entries with a ttl disappear. Thread-safe.
class EtcdLeases {
 public:
  EtcdLeases(std::shared_ptr<EtcdConnection> connection, Clock& clock)
      : connection_(std::move(connection)), keep_alive_(connection_), clock_(clock) {}

  /// A lease for an entry with that ttl: one of its own if that is short; else one that all of the same ttl
  /// share that are written within a minute, since a lease costs etcd more than an entry. 0: none is needed,
  /// the ttl is longer than anything lives.
  Result<std::int64_t> lease(Duration ttl);
  /// Starts its time anew; kNotFound if it has ended.
  Result<void> keep_alive(std::int64_t lease) { return keep_alive_.renew(lease); }
  /// That lease is gone: it is given to nobody else.
  void forget(std::int64_t lease);

 private:
  Result<std::int64_t> grant(std::int64_t seconds);

  struct Shared {
    std::int64_t lease = 0;
    TimePoint until{};
  };
  std::shared_ptr<EtcdConnection> connection_;
  EtcdKeepAlive keep_alive_;
  Clock& clock_;
  std::mutex mutex_;
  std::map<std::int64_t, Shared> shared_;  // by ttl in seconds
};

}  // namespace serverledge
