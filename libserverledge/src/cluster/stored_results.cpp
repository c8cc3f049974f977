#include "serverledge/cluster/stored_results.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace serverledge {
namespace {

constexpr Duration kProbe = std::chrono::milliseconds(200);
constexpr std::size_t kMostEntries = 10'000;
constexpr std::size_t kMostBytes = std::size_t{256} << 20;

std::string result_key(std::string_view request_id) { return fmt::format("async/{}", request_id); }

/// Whether every other answer would be refused as well.
bool store_refuses(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kDiskFull;
}

}  // namespace

StoredResults::StoredResults(KeyValueStore& store, Clock& clock, Observer& observer, Duration ttl)
    : store_(store), clock_(clock), observer_(observer), ttl_(ttl) {}

void StoredResults::accepted(std::string_view request_id) {
  const std::scoped_lock lock(mutex_);
  pending_.emplace(request_id);
}

void StoredResults::publish(std::string_view request_id, std::string answer) {
  // A store that is away must not hold up the thread that ran the call.
  if (store_.healthy()) {
    const auto stored = store_.put(result_key(request_id), answer, ttl_);
    if (stored) {
      const std::scoped_lock lock(mutex_);
      if (const auto pending = pending_.find(request_id); pending != pending_.end()) pending_.erase(pending);
      return;
    }
    observer_.log(LogLevel::kWarning, "result_waits_for_store", {{"reason", stored.error().message}});
  }
  keep(request_id, std::move(answer));
}

// An answer is in the outbox before it is no longer pending, and in the store before it leaves the outbox: a
// poll at any moment finds it in one of them.
void StoredResults::keep(std::string_view request_id, std::string answer) {
  std::vector<std::string> dropped;
  {
    const std::scoped_lock lock(mutex_);
    if (const auto pending = pending_.find(request_id); pending != pending_.end()) pending_.erase(pending);
    if (const auto before = in_outbox_.find(request_id); before != in_outbox_.end()) drop(before->second);
    outbox_bytes_ += answer.size();
    outbox_.push_back({std::string(request_id), std::move(answer), later(clock_.now(), ttl_)});
    in_outbox_.emplace(std::string(request_id), std::prev(outbox_.end()));
    while (outbox_.size() > kMostEntries || (outbox_bytes_ > kMostBytes && outbox_.size() > 1)) {
      dropped.push_back(outbox_.front().request_id);
      drop(outbox_.begin());
    }
  }
  for (const std::string& id : dropped) {
    observer_.log(LogLevel::kError, "result_dropped",
                  {{"request", id}, {"reason", "the store is away too long"}});
  }
}

void StoredResults::drop(Outbox::iterator waiting) {
  outbox_bytes_ -= waiting->answer.size();
  in_outbox_.erase(waiting->request_id);
  outbox_.erase(waiting);
}

Result<ResultStore::Found> StoredResults::find(std::string_view request_id) {
  {
    const std::scoped_lock lock(mutex_);
    if (pending_.contains(request_id)) return Found{State::kPending, {}};
    if (const auto waiting = in_outbox_.find(request_id); waiting != in_outbox_.end()) {
      if (clock_.now() >= waiting->second->expires) return Found{};
      return Found{State::kReady, waiting->second->answer};
    }
  }
  auto entry = store_.get(result_key(request_id));
  if (!entry) return Unexpected(std::move(entry).error());
  if (!*entry) return Found{};
  return Found{State::kReady, std::move((*entry)->value)};
}

void StoredResults::pump(TimePoint now) {
  std::vector<std::string> ids;
  {
    const std::scoped_lock lock(mutex_);
    for (const Waiting& waiting : outbox_) ids.push_back(waiting.request_id);
  }
  // A store that is away is asked briefly, so that one which hangs does not hold up the thread.
  if (!ids.empty() && !store_.healthy() && !store_.get(result_key(ids.front()), kProbe)) return;
  for (const std::string& id : ids) {
    std::string answer;
    Duration left{};
    {
      const std::scoped_lock lock(mutex_);
      const auto waiting = in_outbox_.find(id);
      if (waiting == in_outbox_.end()) continue;
      left = waiting->second->expires - now;
      if (left <= Duration::zero()) {
        drop(waiting->second);
        continue;
      }
      answer = waiting->second->answer;
    }
    const auto stored = store_.put(result_key(id), answer, left);
    if (!stored && store_refuses(stored.error())) return;
    if (!stored) continue;  // this one cannot be stored: it stays here for its time
    const std::scoped_lock lock(mutex_);
    if (const auto waiting = in_outbox_.find(id); waiting != in_outbox_.end()) drop(waiting->second);
  }
}

std::size_t StoredResults::waiting() const {
  const std::scoped_lock lock(mutex_);
  return outbox_.size();
}

}  // namespace serverledge
