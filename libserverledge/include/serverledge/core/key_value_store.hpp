#pragma once

#include <cstdint>
#include <functional>
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
  std::uint64_t revision = 0;  ///< the store's version of this entry, growing with every change of it
};

/// What a watch tells, in order, on one thread of the store, with no lock of the store held. Do not block in it.
class StoreListener {
 public:
  virtual ~StoreListener() = default;
  /// The whole prefix as it is now; the first event of every (re)connection.
  virtual void reset(const std::vector<StoredEntry>& all) = 0;
  virtual void put(const StoredEntry& entry) = 0;
  virtual void removed(const std::string& key) = 0;
};

/// A small ordered key-value store: embedded (SQLite) or etcd. Thread-safe; every call has a deadline of its own.
/// Failures: kUnavailable (away), kDiskFull (no space, nothing was changed), kNotFound, kExists.
class KeyValueStore {
 public:
  virtual ~KeyValueStore() = default;
  virtual Result<std::optional<StoredEntry>> get(std::string_view key) = 0;
  /// Writes the entry and returns its revision. With a ttl it disappears after that time unless refreshed.
  virtual Result<std::uint64_t> put(std::string_view key, std::string_view value,
                                    std::optional<Duration> ttl = std::nullopt) = 0;
  /// Writes the entry only if there is none (kExists): atomic, also between nodes.
  virtual Result<std::uint64_t> create(std::string_view key, std::string_view value,
                                       std::optional<Duration> ttl = std::nullopt) = 0;
  /// Removes the entry; false if there was none.
  virtual Result<bool> remove(std::string_view key) = 0;
  /// The entries whose keys begin with `prefix`, in key order.
  virtual Result<std::vector<StoredEntry>> list(std::string_view prefix) = 0;
  /// Starts the ttl of an entry anew; kNotFound if it is gone.
  virtual Result<void> refresh(std::string_view key) = 0;

  /// Ends the watch when destroyed; after that the listener is not called any more.
  class Watch {
   public:
    virtual ~Watch() = default;
  };
  virtual std::unique_ptr<Watch> watch(std::string_view prefix, StoreListener& listener) = 0;
  /// Whether the store answers at present; no call is made.
  virtual bool healthy() const noexcept = 0;
};

}  // namespace serverledge
