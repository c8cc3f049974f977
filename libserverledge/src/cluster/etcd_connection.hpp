#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <etcd_rpc.grpc.pb.h>
#include "serverledge/cluster/etcd_store.hpp"

namespace serverledge {

/// One member of the etcd cluster. Thread-safe.
struct EtcdEndpoint {
  EtcdEndpoint(std::string address, std::shared_ptr<grpc::Channel> to)
      : name(std::move(address)),
        channel(std::move(to)),
        kv(channel),
        lease(channel),
        watch(channel),
        auth(channel) {}

  std::string name;
  std::shared_ptr<grpc::Channel> channel;
  etcdserverpb::KV::Stub kv;
  etcdserverpb::Lease::Stub lease;
  etcdserverpb::Watch::Stub watch;
  etcdserverpb::Auth::Stub auth;
  std::atomic<TimePoint> avoid_until{TimePoint::min()};  // it has not answered a call
};

/// A deadline for gRPC that far from now.
gpr_timespec grpc_deadline(Duration limit);

/// Calls to a cluster of etcd: chooses the member, proves who we are, bounds every call, and makes errors
/// ours. Thread-safe.
class EtcdConnection {
 public:
  /// Whether a call that broke off may be made once more at another member.
  enum class Repeat { kNever, kSafe };
  using Call = std::function<grpc::Status(EtcdEndpoint&, grpc::ClientContext&)>;

  static Result<std::shared_ptr<EtcdConnection>> open(const EtcdOptions& options, Clock& clock);
  EtcdConnection(std::vector<std::unique_ptr<EtcdEndpoint>> endpoints, const EtcdOptions& options,
                 Clock& clock);

  /// Makes the call within the limit; without one, within the store's own.
  Result<void> call(Repeat repeat, const Call& call, std::optional<Duration> limit = std::nullopt);
  bool healthy() const noexcept;
  /// See KeyValueStore.
  std::string refusal() const;

  struct Session {
    EtcdEndpoint* endpoint = nullptr;
    std::unique_ptr<grpc::ClientContext> context;  // without a deadline
  };
  /// For a stream that stays open: a member that is connected, and a context that says who we are.
  Result<Session> session();
  /// The token is of no use any more: the next call or session gets another one.
  void renew_token();

 private:
  struct Attempt {
    grpc::Status status;
    bool sent = false;
  };

  Attempt attempt(EtcdEndpoint& endpoint, const Call& call, Duration limit);
  bool connected(EtcdEndpoint& endpoint, TimePoint deadline) const;
  std::vector<EtcdEndpoint*> candidates() const;
  std::string token(EtcdEndpoint& endpoint, Duration limit, grpc::Status& status);
  void forget(const std::string& token);
  void failed(EtcdEndpoint& endpoint);
  void answered(EtcdEndpoint& endpoint);
  void refused(const Error& error);

  const std::vector<std::unique_ptr<EtcdEndpoint>> endpoints_;
  const std::string user_;
  const std::string password_;
  const Duration deadline_;
  Clock& clock_;
  std::atomic<std::size_t> current_{0};
  std::atomic<bool> well_{true};
  std::atomic<int> outstanding_{0};
  std::atomic<TimePoint> quiet_since_{TimePoint::min()};  // no answer since then
  std::atomic<bool> let_in_{false};                       // once at least
  mutable std::mutex mutex_;
  std::string refusal_;
  std::string token_;
  bool asked_for_token_ = false;  // an empty one then: etcd does not authenticate
};

}  // namespace serverledge
