#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/key_value_store.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/core/result_store.hpp"

namespace serverledge {

/// Answers of asynchronous calls in a store, under `async/<request id>` with a ttl. Which calls are pending
/// is known only to the process that accepted them. An answer that the store does not take (away, disk full)
/// waits in memory, where it is found as well, until a later `pump` can store it; there is room for 10,000
/// such answers or 256 MB: beyond that the oldest are dropped, and logged. Thread-safe. `store`, `clock` and
/// `observer` must outlive it.
class StoredResults final : public ResultStore {
 public:
  StoredResults(KeyValueStore& store, Clock& clock, Observer& observer, Duration ttl);

  void accepted(std::string_view request_id) override;
  void publish(std::string_view request_id, std::string answer) override;
  Result<Found> find(std::string_view request_id) override;

  /// Stores what waits, until the store refuses again. To be called about once a second, by one thread.
  void pump(TimePoint now);
  /// How many answers wait for the store.
  std::size_t waiting() const;

 private:
  struct Waiting {
    std::string request_id;
    std::string answer;
    TimePoint expires;
  };
  using Outbox = std::list<Waiting>;

  void keep(std::string_view request_id, std::string answer);
  void drop(Outbox::iterator waiting);

  KeyValueStore& store_;
  Clock& clock_;
  Observer& observer_;
  const Duration ttl_;
  mutable std::mutex mutex_;
  std::set<std::string, std::less<>> pending_;
  Outbox outbox_;  // oldest first
  std::map<std::string, Outbox::iterator, std::less<>> in_outbox_;
  std::size_t outbox_bytes_ = 0;
};

}  // namespace serverledge
