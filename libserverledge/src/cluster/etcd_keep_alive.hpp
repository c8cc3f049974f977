#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "cluster/etcd_connection.hpp"
#include "cluster/turns.hpp"

namespace serverledge {

/// Keeps leases alive over one stream that stays open: opening one for each renewal would cost etcd more than
/// the renewal. A stream that breaks is replaced when it is next needed. Thread-safe; renewals wait for each
/// other. Starts no thread.
class EtcdKeepAlive {
 public:
  explicit EtcdKeepAlive(std::shared_ptr<EtcdConnection> connection);
  ~EtcdKeepAlive();
  EtcdKeepAlive(const EtcdKeepAlive&) = delete;
  EtcdKeepAlive& operator=(const EtcdKeepAlive&) = delete;

  /// Starts the lease's time anew; kNotFound if it has ended, kUnavailable if etcd does not say within a few
  /// seconds.
  Result<void> renew(std::int64_t lease);

 private:
  class Stream;
  Result<std::int64_t> ask(std::int64_t lease);

  const std::shared_ptr<EtcdConnection> connection_;
  Turns<> turns_;
  std::unique_ptr<Stream> stream_;  // of who has the turn; null: none is open
};

}  // namespace serverledge
