#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "serverledge/core/key_value_store.hpp"

namespace serverledge {

/// One change of a store: the entry as it was put, or (with an empty value) the key and revision of a
/// removal.
struct StoreChange {
  StoredEntry entry;
  bool removed = false;
};

/// The watches of a store that lives in this process. Writers publish; one thread delivers. A watch that
/// falls far behind is told everything anew instead of keeping all it missed in memory. Thread-safe; outlives
/// its watches.
class WatchHub {
 public:
  struct State {
    std::vector<StoredEntry> entries;
    std::uint64_t revision = 0;
  };
  /// Gives the entries under a prefix and the revision they are of.
  using List = std::function<Result<State>(const std::string& prefix)>;

  std::unique_ptr<KeyValueStore::Watch> add(std::string_view prefix, StoreListener& listener);
  /// Tells of changes that are committed, in the order of their revisions.
  void publish(const std::vector<StoreChange>& changes);

  /// Delivers one event to one watch; false if there was none, or the entries could not be listed (then a
  /// `wait` is due). For one thread only.
  bool deliver_one(const List& list);
  /// Sleeps until there may be something to deliver, `wake`, a stop request, or for that time.
  void wait(Duration limit, const std::stop_token& stop);
  void wake();

 private:
  struct Watched {
    std::string prefix;
    StoreListener* listener = nullptr;
    std::deque<std::shared_ptr<const StoreChange>> queue;
    bool reset_due = true;
    bool ended = false;
    std::uint64_t told = 0;  // revision of the last reset
  };
  using WatchedPtr = std::shared_ptr<Watched>;
  class Handle;

  void end(const WatchedPtr& watched);
  bool deliver_reset(const WatchedPtr& watched, const List& list, std::unique_lock<std::mutex>& lock);
  static bool due(const WatchedPtr& watched) { return watched->reset_due || !watched->queue.empty(); }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::list<WatchedPtr> watches_;
  WatchedPtr delivering_;
  std::thread::id deliverer_;
  bool woken_ = false;
  bool failing_ = false;  // the last listing failed
};

}  // namespace serverledge
