#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "cluster/etcd_connection.hpp"
#include "cluster/etcd_ranges.hpp"
#include "serverledge/core/key_value_store.hpp"

namespace serverledge {

/// One watch on etcd, with the thread that reads it.
class EtcdWatch {
 public:
  EtcdWatch(std::shared_ptr<EtcdConnection> connection, std::string_view prefix, StoreListener& listener);
  ~EtcdWatch() = default;
  EtcdWatch(const EtcdWatch&) = delete;
  EtcdWatch& operator=(const EtcdWatch&) = delete;

  /// Reads and tells until it is stopped.
  void run();
  /// From any thread, also the one that runs: no event begins after this.
  void stop();

 private:
  using Stream = grpc::ClientReaderWriter<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>;

  Result<void> begin();
  Result<void> reset();
  Result<void> follow();
  Result<void> read(Stream& stream);
  bool tell(etcdserverpb::WatchResponse& response);
  bool stopped() const { return stopped_; }
  void pause(Duration duration);

  std::shared_ptr<EtcdConnection> connection_;
  EtcdRanges ranges_;
  const std::string prefix_;
  StoreListener& listener_;

  // Of the thread that runs.
  std::uint64_t told_ = 0;   // the listener knows all up to this revision; 0: nothing
  std::string incarnation_;  // of the data that this is a revision of

  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  grpc::ClientContext* open_ = nullptr;  // the stream that is read at present
};

}  // namespace serverledge
