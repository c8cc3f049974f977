#include "serverledge/cluster/etcd_store.hpp"

#include <fmt/format.h>

#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "cluster/etcd_connection.hpp"
#include "cluster/etcd_leases.hpp"
#include "cluster/etcd_ranges.hpp"
#include "cluster/etcd_watch.hpp"

namespace serverledge {
namespace {

using Repeat = EtcdConnection::Repeat;

/// Adds a condition. What is not there has revision 0 for etcd, too.
void expect(etcdserverpb::TxnRequest& request, std::string_view key, std::uint64_t revision) {
  etcdserverpb::Compare& compare = *request.add_compare();
  compare.set_key(std::string(key));
  compare.set_target(etcdserverpb::Compare::MOD);
  compare.set_mod_revision(static_cast<std::int64_t>(revision));
}

class EtcdStore final : public KeyValueStore {
 public:
  EtcdStore(const std::shared_ptr<EtcdConnection>& connection, Clock& clock)
      : connection_(connection), ranges_(connection), leases_(connection, clock) {}

  Result<std::optional<StoredEntry>> get(std::string_view key, std::optional<Duration> within) override;
  Result<std::uint64_t> put(std::string_view key, std::string_view value,
                            std::optional<Duration> ttl) override;
  Result<std::uint64_t> create(std::string_view key, std::string_view value,
                               std::optional<Duration> ttl) override;
  Result<std::optional<std::uint64_t>> remove(std::string_view key) override;
  Result<std::optional<std::uint64_t>> commit(const StoreTransaction& transaction) override;
  Result<std::vector<StoredEntry>> list(std::string_view prefix) override { return ranges_.list(prefix); }
  Result<std::vector<std::string>> keys(std::string_view prefix) override { return ranges_.keys(prefix); }
  Result<void> refresh(std::string_view key) override;
  std::unique_ptr<Watch> watch(std::string_view prefix, StoreListener& listener) override;
  bool healthy() const noexcept override { return connection_->healthy(); }
  std::string refusal() const override { return connection_->refusal(); }

 private:
  class Handle;

  template <typename Write>
  auto under_lease(std::optional<Duration> ttl, Write write) -> decltype(write(std::int64_t{}));

  std::shared_ptr<EtcdConnection> connection_;
  EtcdRanges ranges_;
  EtcdLeases leases_;
  std::mutex mutex_;
  std::vector<std::jthread> ended_;  // of watches that were ended by their own listener
};

/// The end of a watch: waits for its thread, unless that is the one which ends it.
class EtcdStore::Handle final : public KeyValueStore::Watch {
 public:
  Handle(EtcdStore& store, std::string_view prefix, StoreListener& listener)
      : store_(store),
        watch_(std::make_shared<EtcdWatch>(store.connection_, prefix, listener)),
        thread_([watch = watch_] { watch->run(); }) {}
  ~Handle() override {
    watch_->stop();
    if (std::this_thread::get_id() != thread_.get_id()) return;  // the member waits
    const std::scoped_lock lock(store_.mutex_);
    store_.ended_.push_back(std::move(thread_));
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

 private:
  EtcdStore& store_;
  std::shared_ptr<EtcdWatch> watch_;
  std::jthread thread_;
};

std::unique_ptr<KeyValueStore::Watch> EtcdStore::watch(std::string_view prefix, StoreListener& listener) {
  return std::make_unique<Handle>(*this, prefix, listener);
}

Result<std::optional<StoredEntry>> EtcdStore::get(std::string_view key, std::optional<Duration> within) {
  auto kv = ranges_.get(key, false, within);
  if (!kv) return Unexpected(std::move(kv).error());
  if (!*kv) return std::optional<StoredEntry>{};
  return std::optional(entry_of(**kv));
}

/// Writes with a lease of that ttl; one that etcd does not know any more (it lost its data) is replaced,
/// once.
template <typename Write>
auto EtcdStore::under_lease(std::optional<Duration> ttl, Write write) -> decltype(write(std::int64_t{})) {
  if (!ttl) return write(0);
  for (const bool again : {true, false}) {
    const auto lease = leases_.lease(*ttl);
    if (!lease) return Unexpected(lease.error());
    auto written = write(*lease);
    if (written || written.error().code != ErrorCode::kNotFound) return written;
    leases_.forget(*lease);
    if (!again) break;
  }
  return Unexpected(ErrorCode::kUnavailable, "etcd forgets its leases");
}

Result<std::uint64_t> EtcdStore::put(std::string_view key, std::string_view value,
                                     std::optional<Duration> ttl) {
  etcdserverpb::PutRequest request;
  request.set_key(std::string(key));
  request.set_value(std::string(value));
  return under_lease(ttl, [&](std::int64_t lease) -> Result<std::uint64_t> {
    request.set_lease(lease);
    etcdserverpb::PutResponse response;
    const auto done =
        connection_->call(Repeat::kNever, [&](EtcdEndpoint& etcd, grpc::ClientContext& context) {
          return etcd.kv.Put(&context, request, &response);
        });
    if (!done) return Unexpected(done.error());
    return static_cast<std::uint64_t>(response.header().revision());
  });
}

Result<std::uint64_t> EtcdStore::create(std::string_view key, std::string_view value,
                                        std::optional<Duration> ttl) {
  etcdserverpb::TxnRequest request;
  expect(request, key, 0);
  etcdserverpb::PutRequest& put = *request.add_success()->mutable_request_put();
  put.set_key(std::string(key));
  put.set_value(std::string(value));
  return under_lease(ttl, [&](std::int64_t lease) -> Result<std::uint64_t> {
    put.set_lease(lease);
    etcdserverpb::TxnResponse response;
    const auto done =
        connection_->call(Repeat::kNever, [&](EtcdEndpoint& etcd, grpc::ClientContext& context) {
          return etcd.kv.Txn(&context, request, &response);
        });
    if (!done) return Unexpected(done.error());
    if (!response.succeeded())
      return Unexpected(ErrorCode::kExists, fmt::format("'{}' is there already", key));
    return static_cast<std::uint64_t>(response.header().revision());
  });
}

Result<std::optional<std::uint64_t>> EtcdStore::remove(std::string_view key) {
  etcdserverpb::DeleteRangeRequest request;
  request.set_key(std::string(key));
  etcdserverpb::DeleteRangeResponse response;
  const auto done = connection_->call(Repeat::kNever, [&](EtcdEndpoint& etcd, grpc::ClientContext& context) {
    return etcd.kv.DeleteRange(&context, request, &response);
  });
  if (!done) return Unexpected(done.error());
  if (response.deleted() == 0) return std::optional<std::uint64_t>{};
  return std::optional(static_cast<std::uint64_t>(response.header().revision()));
}

Result<std::optional<std::uint64_t>> EtcdStore::commit(const StoreTransaction& transaction) {
  etcdserverpb::TxnRequest request;
  for (const StoreTransaction::Condition& condition : transaction.conditions)
    expect(request, condition.key, condition.revision);
  for (const StoreTransaction::Put& put : transaction.puts) {
    etcdserverpb::PutRequest& change = *request.add_success()->mutable_request_put();
    change.set_key(put.key);
    change.set_value(put.value);
  }
  for (const std::string& key : transaction.removals)
    request.add_success()->mutable_request_delete_range()->set_key(key);
  for (const std::string& prefix : transaction.removed_prefixes) {
    etcdserverpb::DeleteRangeRequest& change = *request.add_success()->mutable_request_delete_range();
    change.set_key(range_begin_of(prefix));
    change.set_range_end(range_end_of(prefix));
  }
  etcdserverpb::TxnResponse response;
  const auto done = connection_->call(Repeat::kNever, [&](EtcdEndpoint& etcd, grpc::ClientContext& context) {
    return etcd.kv.Txn(&context, request, &response);
  });
  if (!done) return Unexpected(done.error());
  if (!response.succeeded()) return std::optional<std::uint64_t>{};
  return std::optional(static_cast<std::uint64_t>(response.header().revision()));
}

Result<void> EtcdStore::refresh(std::string_view key) {
  const auto kv = ranges_.get(key, true, std::nullopt);
  if (!kv) return Unexpected(kv.error());
  if (!*kv) return Unexpected(ErrorCode::kNotFound, fmt::format("'{}' is not there any more", key));
  if ((*kv)->lease() == 0) return {};
  auto kept = leases_.keep_alive((*kv)->lease());
  if (!kept && kept.error().code == ErrorCode::kNotFound)
    return Unexpected(ErrorCode::kNotFound, fmt::format("'{}' is not there any more", key));
  return kept;
}

}  // namespace

Result<std::unique_ptr<KeyValueStore>> open_etcd_store(const EtcdOptions& options, Clock& clock) {
  auto connection = EtcdConnection::open(options, clock);
  if (!connection) return Unexpected(std::move(connection).error());
  return std::unique_ptr<KeyValueStore>(std::make_unique<EtcdStore>(*connection, clock));
}

}  // namespace serverledge
