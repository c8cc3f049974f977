#include "cluster/etcd_ranges.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace serverledge {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;
using Repeat = EtcdConnection::Repeat;

constexpr const char* kIncarnation = "/serverledge/incarnation";
/// A page is of about that size; of the first one nothing is known but that no entry is larger than etcd's
/// request limit.
constexpr std::size_t kPageBytes = std::size_t{4} << 20;
constexpr std::int64_t kFirstPage = 16;
constexpr std::int64_t kMostInPage = 1000;
constexpr std::int64_t kKeysInPage = 10'000;
/// How often a list is begun anew when etcd compacts the revision that it reads.
constexpr int kAttempts = 3;

std::int64_t next_limit(std::size_t entries, std::size_t bytes) {
  const std::size_t average = std::max<std::size_t>(bytes / std::max<std::size_t>(entries, 1), 1);
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(kPageBytes / average), 1, kMostInPage);
}

/// Gives the entries on, and says where and how the next page begins.
template <typename Page, typename Take>
void take_page(RangeResponse& response, Page& page, const Take& take) {
  if (response.kvs().empty()) return;
  page.begin = response.kvs(response.kvs_size() - 1).key() + '\0';
  if (!page.keys_only)
    page.limit = next_limit(static_cast<std::size_t>(response.kvs_size()), response.ByteSizeLong());
  for (mvccpb::KeyValue& kv : *response.mutable_kvs()) take(kv);
}

}  // namespace

std::string range_end_of(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (end.empty()) return {'\0'};
  ++end.back();
  return end;
}

std::string range_begin_of(std::string_view prefix) {
  return prefix.empty() ? std::string(1, '\0') : std::string(prefix);
}

StoredEntry entry_of(mvccpb::KeyValue& kv) {
  return {std::move(*kv.mutable_key()), std::move(*kv.mutable_value()),
          static_cast<std::uint64_t>(kv.mod_revision())};
}

Result<std::optional<mvccpb::KeyValue>> EtcdRanges::get(std::string_view key, bool key_only,
                                                        std::optional<Duration> within) {
  RangeRequest request;
  request.set_key(std::string(key));
  request.set_keys_only(key_only);
  RangeResponse response;
  const auto done = connection_->call(
      Repeat::kSafe,
      [&](EtcdEndpoint& etcd, grpc::ClientContext& context) {
        return etcd.kv.Range(&context, request, &response);
      },
      within);
  if (!done) return Unexpected(done.error());
  if (response.kvs().empty()) return std::optional<mvccpb::KeyValue>{};
  return std::optional(std::move(*response.mutable_kvs(0)));
}

Result<RangeResponse> EtcdRanges::read(const Page& page) {
  RangeRequest request;
  request.set_key(page.begin);
  request.set_range_end(page.end);
  request.set_limit(page.limit);
  request.set_revision(page.revision);
  request.set_keys_only(page.keys_only);
  RangeResponse response;
  const auto done = connection_->call(Repeat::kSafe, [&](EtcdEndpoint& etcd, grpc::ClientContext& context) {
    return etcd.kv.Range(&context, request, &response);
  });
  if (!done) return Unexpected(done.error());
  return response;
}

/// Reads page after page, all of one revision, and returns that.
Result<std::int64_t> EtcdRanges::read_all(Page page, const Take& take) {
  for (;;) {
    auto response = read(page);
    if (!response) return Unexpected(response.error());
    if (page.revision == 0) page.revision = response->header().revision();
    const bool more = response->more() && !response->kvs().empty();
    take_page(*response, page, take);
    if (!more) return page.revision;
  }
}

Result<std::vector<StoredEntry>> EtcdRanges::list(std::string_view prefix) {
  Error error;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::vector<StoredEntry> entries;
    const auto read = read_all({range_begin_of(prefix), range_end_of(prefix), kFirstPage, 0, false},
                               [&](mvccpb::KeyValue& kv) { entries.push_back(entry_of(kv)); });
    if (read) return entries;
    error = read.error();
    if (error.code == ErrorCode::kUnavailable) break;
  }
  return Unexpected(std::move(error));
}

Result<std::vector<std::string>> EtcdRanges::keys(std::string_view prefix) {
  Error error;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::vector<std::string> keys;
    const auto read = read_all({range_begin_of(prefix), range_end_of(prefix), kKeysInPage, 0, true},
                               [&](mvccpb::KeyValue& kv) { keys.push_back(std::move(*kv.mutable_key())); });
    if (read) return keys;
    error = read.error();
    if (error.code == ErrorCode::kUnavailable) break;
  }
  return Unexpected(std::move(error));
}

/// The name of the data and the first page in one transaction: a store that loses its data between two
/// requests would have a list of the one and the name of the other.
Result<EtcdRanges::Snapshot> EtcdRanges::begin_snapshot(Page& page, const Take& take, bool& more) {
  etcdserverpb::TxnRequest request;
  request.add_success()->mutable_request_range()->set_key(kIncarnation);
  if (page.limit > 0) {
    RangeRequest& range = *request.add_success()->mutable_request_range();
    range.set_key(page.begin);
    range.set_range_end(page.end);
    range.set_limit(page.limit);
  }
  etcdserverpb::TxnResponse response;
  const auto done = connection_->call(Repeat::kSafe, [&](EtcdEndpoint& etcd, grpc::ClientContext& context) {
    return etcd.kv.Txn(&context, request, &response);
  });
  if (!done) return Unexpected(done.error());
  if (response.responses_size() != request.success_size())
    return Unexpected(ErrorCode::kUnavailable, "etcd answered a transaction in part");
  Snapshot snapshot;
  const RangeResponse& name = response.responses(0).response_range();
  if (!name.kvs().empty()) snapshot.incarnation = name.kvs(0).value();
  page.revision = response.header().revision();
  snapshot.revision = static_cast<std::uint64_t>(page.revision);
  if (page.limit > 0) {
    RangeResponse& first = *response.mutable_responses(1)->mutable_response_range();
    more = first.more() && !first.kvs().empty();
    take_page(first, page, take);
  }
  return snapshot;
}

Result<EtcdRanges::Snapshot> EtcdRanges::snapshot(std::string_view prefix) {
  Error error{ErrorCode::kUnavailable, "etcd compacts faster than it can be read", {}};
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::vector<StoredEntry> entries;
    const Take take = [&](mvccpb::KeyValue& kv) { entries.push_back(entry_of(kv)); };
    Page page{range_begin_of(prefix), range_end_of(prefix), kFirstPage, 0, false};
    bool more = false;
    auto begun = begin_snapshot(page, take, more);
    if (!begun) return begun;
    if (begun->incarnation.empty()) {
      if (auto named = name_incarnation(); !named) return Unexpected(named.error());
      continue;
    }
    if (more) {
      if (const auto rest = read_all(page, take); !rest) {
        error = rest.error();
        if (error.code == ErrorCode::kUnavailable) break;
        continue;
      }
    }
    begun->entries = std::move(entries);
    return begun;
  }
  return Unexpected(std::move(error));
}

Result<EtcdRanges::Snapshot> EtcdRanges::state() {
  Page page;
  bool more = false;
  return begin_snapshot(
      page, [](mvccpb::KeyValue&) {}, more);
}

/// Gives the data a name, unless another node has just done so.
Result<void> EtcdRanges::name_incarnation() {
  etcdserverpb::TxnRequest request;
  etcdserverpb::Compare& absent = *request.add_compare();
  absent.set_key(kIncarnation);
  absent.set_target(etcdserverpb::Compare::CREATE);
  absent.set_create_revision(0);
  etcdserverpb::PutRequest& put = *request.add_success()->mutable_request_put();
  put.set_key(kIncarnation);
  put.set_value(fmt::format("{:016x}{:016x}", entropy(), entropy()));
  return connection_->call(Repeat::kSafe, [&](EtcdEndpoint& etcd, grpc::ClientContext& context) {
    etcdserverpb::TxnResponse response;
    return etcd.kv.Txn(&context, request, &response);
  });
}

}  // namespace serverledge
