#include "cluster/etcd_watch.hpp"

#include <algorithm>
#include <utility>

#include "cluster/etcd_errors.hpp"

namespace serverledge {
namespace {

/// Pauses between attempts to reach etcd.
constexpr Duration kShortest = std::chrono::milliseconds(50);
constexpr Duration kLongest = std::chrono::milliseconds(500);

}  // namespace

EtcdWatch::EtcdWatch(std::shared_ptr<EtcdConnection> connection, std::string_view prefix,
                     StoreListener& listener)
    : connection_(std::move(connection)), ranges_(connection_), prefix_(prefix), listener_(listener) {}

void EtcdWatch::stop() {
  const std::scoped_lock lock(mutex_);
  stopped_ = true;
  if (open_ != nullptr) open_->TryCancel();
  changed_.notify_all();
}

void EtcdWatch::pause(Duration duration) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, duration, [this] { return stopped(); });
}

void EtcdWatch::run() {
  Duration wait = kShortest;
  while (!stopped()) {
    const std::uint64_t before = told_;
    Result<void> done = begin();
    if (done) done = follow();
    // Whoever was told something starts over with the short pause.
    wait = told_ != before ? kShortest : std::min(wait * 2, kLongest);
    pause(wait);
  }
}

/// Brings the listener to a revision from which the stream can go on.
Result<void> EtcdWatch::begin() {
  if (told_ == 0) return reset();
  const auto state = ranges_.state();
  if (!state) return Unexpected(state.error());
  const bool same = state->incarnation == incarnation_ && state->revision >= told_;
  return same ? Result<void>{} : reset();
}

Result<void> EtcdWatch::reset() {
  told_ = 0;
  auto snapshot = ranges_.snapshot(prefix_);
  if (!snapshot) return Unexpected(snapshot.error());
  if (stopped()) return {};
  incarnation_ = snapshot->incarnation;
  listener_.connected(incarnation_);
  listener_.reset(snapshot->entries, snapshot->revision);
  told_ = snapshot->revision;
  return {};
}

Result<void> EtcdWatch::follow() {
  auto session = connection_->session();
  if (!session) return Unexpected(session.error());
  grpc::ClientContext& context = *session->context;
  {
    const std::scoped_lock lock(mutex_);
    if (stopped()) return {};
    open_ = &context;
  }
  const auto stream = session->endpoint->watch.Watch(&context);
  const Result<void> done = read(*stream);
  context.TryCancel();
  static_cast<void>(stream->Finish());
  const std::scoped_lock lock(mutex_);
  open_ = nullptr;
  return done;
}

/// Until the stream breaks, or has told all that it can.
Result<void> EtcdWatch::read(Stream& stream) {
  etcdserverpb::WatchRequest request;
  etcdserverpb::WatchCreateRequest& create = *request.mutable_create_request();
  create.set_key(range_begin_of(prefix_));
  create.set_range_end(range_end_of(prefix_));
  create.set_start_revision(static_cast<std::int64_t>(told_ + 1));
  create.set_progress_notify(true);
  if (!stream.Write(request)) return Unexpected(ErrorCode::kUnavailable, "etcd cannot be reached");
  etcdserverpb::WatchResponse response;
  while (!stopped() && stream.Read(&response)) {
    if (!tell(response)) break;
  }
  return {};
}

/// Whether the stream goes on.
bool EtcdWatch::tell(etcdserverpb::WatchResponse& response) {
  const auto revision = static_cast<std::uint64_t>(response.header().revision());
  if (response.created() && revision < told_) told_ = 0;  // etcd has lost its data just now
  if (response.compact_revision() != 0) told_ = 0;        // what we have not seen is gone
  if (response.canceled() || told_ == 0) return false;
  for (mvccpb::Event& event : *response.mutable_events()) {
    if (stopped()) return false;
    StoredEntry entry = entry_of(*event.mutable_kv());
    if (entry.revision < told_) continue;
    told_ = entry.revision;
    if (event.type() == mvccpb::Event::DELETE) {
      listener_.removed(entry.key, entry.revision);
    } else {
      listener_.put(entry);
    }
  }
  if (response.events().empty() && !response.created()) told_ = std::max(told_, revision);
  return true;
}

}  // namespace serverledge
