#include "cluster/function_lookups.hpp"

#include <utility>

namespace serverledge {
namespace {

constexpr Duration kRemembered = std::chrono::seconds(1);
/// Names that are remembered at a time: callers may invent as many as they like.
constexpr std::size_t kMostRemembered = 1024;

}  // namespace

Result<FunctionPtr> FunctionLookups::find(std::string_view name, const Ask& ask) {
  std::unique_lock lock(mutex_);
  if (const auto known = lookups_.find(name); known != lookups_.end()) {
    const LookupPtr lookup = known->second;
    if (!lookup->done && !changed_.wait_for(lock, kLimit, [&] { return lookup->done; })) {
      return Unexpected(ErrorCode::kUnavailable, "the store did not answer in time");
    }
    if (clock_.now() < lookup->remembered_until) return lookup->outcome;
    // What was found is in the copy since; what is past its second is asked anew, below.
    if (lookup->outcome) return lookup->outcome;
  }
  // While the store is away one look-up in a second finds out whether it still is.
  if (away_ && clock_.now() < away_->remembered_until) return away_->outcome;
  make_room();
  const auto mine = std::make_shared<Lookup>();
  const std::string key(name);
  lookups_.insert_or_assign(key, mine);
  lock.unlock();
  Result<FunctionPtr> outcome = ask(key);
  lock.lock();
  mine->done = true;
  mine->outcome = outcome;
  mine->remembered_until = later(clock_.now(), kRemembered);
  const bool away = !outcome && outcome.error().code == ErrorCode::kUnavailable;
  away_ = away ? mine : nullptr;
  if (outcome) {
    if (const auto own = lookups_.find(key); own != lookups_.end() && own->second == mine)
      lookups_.erase(own);
  }
  changed_.notify_all();
  return outcome;
}

void FunctionLookups::make_room() {
  if (lookups_.size() < kMostRemembered) return;
  const TimePoint now = clock_.now();
  std::erase_if(lookups_, [&](const auto& entry) {
    return entry.second->done && entry.second->remembered_until <= now;
  });
  if (lookups_.size() >= kMostRemembered)
    std::erase_if(lookups_, [](const auto& entry) { return entry.second->done; });
}

}  // namespace serverledge
