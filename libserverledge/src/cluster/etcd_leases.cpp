#include "cluster/etcd_leases.hpp"

#include <chrono>
#include <utility>

namespace serverledge {
namespace {

using Repeat = EtcdConnection::Repeat;

constexpr std::int64_t kLongestOwn = 300;
constexpr std::int64_t kSharedFor = 60;
/// etcd takes no longer lease than 9,000,000,000 s; what is to last for a century needs none.
constexpr std::int64_t kForever = std::int64_t{100} * 365 * 86400;

}  // namespace

Result<std::int64_t> EtcdLeases::lease(Duration ttl) {
  const std::int64_t seconds =
      std::max<std::int64_t>(std::chrono::ceil<std::chrono::seconds>(ttl).count(), 1);
  if (seconds >= kForever) return 0;
  if (seconds <= kLongestOwn) return grant(seconds);
  const TimePoint now = clock_.now();
  {
    const std::scoped_lock lock(mutex_);
    std::erase_if(shared_, [now](const auto& known) { return known.second.until <= now; });
    if (const auto known = shared_.find(seconds); known != shared_.end()) return known->second.lease;
  }
  const auto granted = grant(seconds + kSharedFor);
  if (!granted) return granted;
  const std::scoped_lock lock(mutex_);
  shared_[seconds] = {*granted, later(now, std::chrono::seconds(kSharedFor))};
  return granted;
}

Result<std::int64_t> EtcdLeases::grant(std::int64_t seconds) {
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(seconds);
  etcdserverpb::LeaseGrantResponse response;
  // One that is granted twice expires unused.
  const auto done = connection_->call(Repeat::kSafe, [&](EtcdEndpoint& etcd, grpc::ClientContext& context) {
    return etcd.lease.LeaseGrant(&context, request, &response);
  });
  if (!done) return Unexpected(done.error());
  return response.id();
}

void EtcdLeases::forget(std::int64_t lease) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(shared_, [lease](const auto& known) { return known.second.lease == lease; });
}

}  // namespace serverledge
