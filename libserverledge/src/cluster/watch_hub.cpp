#include "cluster/watch_hub.hpp"

#include <algorithm>

namespace serverledge {
namespace {

/// Events that wait for one listener before it is told everything anew.
constexpr std::size_t kMostWaiting = 1024;
/// Pause after a listing that failed.
constexpr Duration kRetry = std::chrono::seconds(1);

}  // namespace

class WatchHub::Handle final : public KeyValueStore::Watch {
 public:
  Handle(WatchHub& hub, WatchedPtr watched) : hub_(hub), watched_(std::move(watched)) {}
  ~Handle() override { hub_.end(watched_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

 private:
  WatchHub& hub_;
  WatchedPtr watched_;
};

std::unique_ptr<KeyValueStore::Watch> WatchHub::add(std::string_view prefix, StoreListener& listener) {
  auto watched = std::make_shared<Watched>();
  watched->prefix = prefix;
  watched->listener = &listener;
  const std::scoped_lock lock(mutex_);
  watches_.push_back(watched);
  changed_.notify_all();
  return std::make_unique<Handle>(*this, std::move(watched));
}

void WatchHub::end(const WatchedPtr& watched) {
  std::unique_lock lock(mutex_);
  watched->ended = true;
  watches_.remove(watched);
  // A listener may end its own watch from within an event; everybody else waits until the event is over.
  if (std::this_thread::get_id() == deliverer_) return;
  changed_.wait(lock, [&] { return delivering_ != watched; });
}

void WatchHub::publish(const std::vector<StoreChange>& changes) {
  const std::scoped_lock lock(mutex_);
  for (const StoreChange& change : changes) {
    std::shared_ptr<const StoreChange> shared;
    for (const WatchedPtr& watched : watches_) {
      if (watched->reset_due || !change.entry.key.starts_with(watched->prefix)) continue;
      if (watched->queue.size() >= kMostWaiting) {
        watched->queue.clear();
        watched->reset_due = true;  // which will read this change, too
        continue;
      }
      if (!shared) shared = std::make_shared<const StoreChange>(change);
      watched->queue.push_back(shared);
    }
    if (shared) changed_.notify_all();
  }
}

bool WatchHub::deliver_one(const List& list) {
  std::unique_lock lock(mutex_);
  deliverer_ = std::this_thread::get_id();
  const auto found = std::find_if(watches_.begin(), watches_.end(), due);
  if (found == watches_.end()) return false;
  const WatchedPtr watched = *found;
  watches_.splice(watches_.end(), watches_, found);  // the others go first next time
  delivering_ = watched;
  bool delivered = true;
  if (watched->reset_due) {
    delivered = deliver_reset(watched, list, lock);
  } else {
    const std::shared_ptr<const StoreChange> change = watched->queue.front();
    watched->queue.pop_front();
    // A change that the last reset contained already is passed over.
    if (change->entry.revision > watched->told) {
      lock.unlock();
      if (change->removed) {
        watched->listener->removed(change->entry.key, change->entry.revision);
      } else {
        watched->listener->put(change->entry);
      }
      lock.lock();
    }
  }
  delivering_ = nullptr;
  failing_ = !delivered;
  changed_.notify_all();
  return delivered;
}

bool WatchHub::deliver_reset(const WatchedPtr& watched, const List& list,
                             std::unique_lock<std::mutex>& lock) {
  // From here on changes queue up; those that the list has already are told apart by their revisions.
  watched->reset_due = false;
  watched->queue.clear();
  lock.unlock();
  const Result<State> state = list(watched->prefix);
  lock.lock();
  if (!state) {
    watched->reset_due = true;
    return false;
  }
  watched->told = state->revision;
  if (watched->ended) return true;
  lock.unlock();
  watched->listener->reset(state->entries, state->revision);
  lock.lock();
  return true;
}

void WatchHub::wait(Duration limit, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const auto ready = [this] {
    return woken_ || (!failing_ && std::any_of(watches_.begin(), watches_.end(), due));
  };
  changed_.wait_for(lock, stop, failing_ ? std::min(limit, kRetry) : limit, ready);
  woken_ = false;
}

void WatchHub::wake() {
  const std::scoped_lock lock(mutex_);
  woken_ = true;
  changed_.notify_all();
}

}  // namespace serverledge
