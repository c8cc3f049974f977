#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

struct StoredEntry {
  std::string key;
  std::string value;
  std::uint64_t revision = 0;  ///< the store's revision at which this entry was written
  bool operator==(const StoredEntry&) const = default;
};

/// Changes that are made together, and only if the entries that they depend on are as they were seen. No key
/// may be changed twice.
struct StoreTransaction {
  struct Condition {
    std::string key;
    std::uint64_t revision = 0;  ///< of the entry that must be there; 0: there must be none
  };
  struct Put {
    std::string key;
    std::string value;
  };
  std::vector<Condition> conditions = {};
  std::vector<Put> puts = {};
  std::vector<std::string> removals = {};          ///< keys
  std::vector<std::string> removed_prefixes = {};  ///< all entries whose keys begin so
};

/// What a watch tells, in order, on one thread of the store, with no lock of the store held. Do not block in
/// it. Revisions of one watch only grow (those of one transaction are the same), unless the store lost its
/// data, which begins with a reset.
class StoreListener {
 public:
  virtual ~StoreListener() = default;
  /// Just before a reset, by stores that can lose their data (a wiped or restored etcd): a name of the data
  /// that follows. Another name, or a smaller revision of the reset, means that what is missing was lost, not
  /// removed.
  virtual void connected(const std::string& /*incarnation*/) {}
  /// The whole prefix as it was at `revision`: the first event, and again whenever changes may have been
  /// missed.
  virtual void reset(const std::vector<StoredEntry>& all, std::uint64_t revision) = 0;
  virtual void put(const StoredEntry& entry) = 0;
  virtual void removed(const std::string& key, std::uint64_t revision) = 0;
};

/// A small ordered key-value store: embedded (SQLite) or etcd. Every change of anything gets the store's next
/// revision. Thread-safe; every call has a deadline of its own. Failures: kUnavailable (away, or not in
/// time), kDiskFull (no space, nothing was changed), kExists, kNotFound.
class KeyValueStore {
 public:
  virtual ~KeyValueStore() = default;
  /// The entry, if there is one. Waits for it `within` that time, if given, instead of the store's own
  /// deadline.
  virtual Result<std::optional<StoredEntry>> get(std::string_view key,
                                                 std::optional<Duration> within = std::nullopt) = 0;
  /// Writes the entry and returns its revision. With a ttl it disappears after that time unless refreshed.
  /// Durable when it returns.
  virtual Result<std::uint64_t> put(std::string_view key, std::string_view value,
                                    std::optional<Duration> ttl = std::nullopt) = 0;
  /// Writes the entry only if there is none (kExists): atomic, also between nodes.
  virtual Result<std::uint64_t> create(std::string_view key, std::string_view value,
                                       std::optional<Duration> ttl = std::nullopt) = 0;
  /// Removes the entry and returns the revision of that; nullopt if there was none.
  virtual Result<std::optional<std::uint64_t>> remove(std::string_view key) = 0;
  /// Makes all changes at one revision, and returns that; nullopt if a condition does not hold, and nothing
  /// was changed. Atomic, also between nodes.
  virtual Result<std::optional<std::uint64_t>> commit(const StoreTransaction& transaction) = 0;
  /// The entries whose keys begin with `prefix`, in key order.
  virtual Result<std::vector<StoredEntry>> list(std::string_view prefix) = 0;
  /// The same without the values.
  virtual Result<std::vector<std::string>> keys(std::string_view prefix) = 0;
  /// Starts the ttl of an entry anew; kNotFound if it is gone. Changes no revision, and watches are not told.
  virtual Result<void> refresh(std::string_view key) = 0;

  /// Ends the watch when destroyed; after that the listener is not called any more. Must end before the store
  /// does.
  class Watch {
   public:
    virtual ~Watch() = default;
  };
  virtual std::unique_ptr<Watch> watch(std::string_view prefix, StoreListener& listener) = 0;
  /// Whether the store answers at present; no call is made.
  virtual bool healthy() const noexcept = 0;
  /// A sentence if the store has answered, and has never let this node in: nothing will work until somebody
  /// changes the configuration or the rights. Empty otherwise; no call is made.
  virtual std::string refusal() const { return {}; }
};

}  // namespace serverledge
