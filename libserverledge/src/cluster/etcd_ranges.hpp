#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/etcd_connection.hpp"
#include "serverledge/core/key_value_store.hpp"

namespace serverledge {

/// The end of the range of all keys that begin with `prefix`.
std::string range_end_of(std::string_view prefix);
/// The same as a key to begin with: etcd knows no empty one.
std::string range_begin_of(std::string_view prefix);
StoredEntry entry_of(mvccpb::KeyValue& kv);

/// What is read from etcd. Thread-safe.
class EtcdRanges {
 public:
  explicit EtcdRanges(std::shared_ptr<EtcdConnection> connection) : connection_(std::move(connection)) {}

  Result<std::optional<mvccpb::KeyValue>> get(std::string_view key, bool key_only,
                                              std::optional<Duration> within);
  Result<std::vector<StoredEntry>> list(std::string_view prefix);
  Result<std::vector<std::string>> keys(std::string_view prefix);

  /// All under a prefix, and which data that is a part of: both as they were at one revision.
  struct Snapshot {
    std::vector<StoredEntry> entries;
    std::uint64_t revision = 0;
    std::string incarnation;
  };
  Result<Snapshot> snapshot(std::string_view prefix);
  /// The same without the entries.
  Result<Snapshot> state();

 private:
  using Take = std::function<void(mvccpb::KeyValue&)>;
  struct Page {
    std::string begin;
    std::string end;
    std::int64_t limit = 0;
    std::int64_t revision = 0;
    bool keys_only = false;
  };
  Result<etcdserverpb::RangeResponse> read(const Page& page);
  Result<std::int64_t> read_all(Page page, const Take& take);
  Result<Snapshot> begin_snapshot(Page& page, const Take& take, bool& more);
  Result<void> name_incarnation();

  std::shared_ptr<EtcdConnection> connection_;
};

}  // namespace serverledge
