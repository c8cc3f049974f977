#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "serverledge/core/key_value_store.hpp"

namespace serverledge::test {

/// What every call of a store says that cannot be reached.
inline const Error kAway{ErrorCode::kUnavailable, "the store is away", {}};

/// A store in front of another one that fails when told to, and counts its calls.
class FaultyStore final : public KeyValueStore {
 public:
  explicit FaultyStore(KeyValueStore& store) : store_(store) {}

  /// From here on every call fails with this; none works again.
  void fail_with(std::optional<Error> error) {
    const std::scoped_lock lock(mutex_);
    error_ = std::move(error);
    after_ = 0;
  }
  /// The same, for writes after so many that still work.
  void fail_writes_after(int writes, Error error) {
    const std::scoped_lock lock(mutex_);
    after_ = writes;
    error_ = std::move(error);
  }
  int calls() const { return calls_; }
  /// Called just before each transaction: what other nodes do at that moment.
  std::function<void()> before_commit;

  Result<std::optional<StoredEntry>> get(std::string_view key, std::optional<Duration> within) override {
    if (auto error = failure(false)) return Unexpected(*error);
    return store_.get(key, within);
  }
  Result<std::uint64_t> put(std::string_view key, std::string_view value,
                            std::optional<Duration> ttl) override {
    if (auto error = failure(true)) return Unexpected(*error);
    return store_.put(key, value, ttl);
  }
  Result<std::uint64_t> create(std::string_view key, std::string_view value,
                               std::optional<Duration> ttl) override {
    if (auto error = failure(true)) return Unexpected(*error);
    return store_.create(key, value, ttl);
  }
  Result<std::optional<std::uint64_t>> remove(std::string_view key) override {
    if (auto error = failure(false)) return Unexpected(*error);
    return store_.remove(key);
  }
  Result<std::optional<std::uint64_t>> commit(const StoreTransaction& transaction) override {
    if (const auto meanwhile = before_commit) meanwhile();  // a copy: it may set another one
    if (auto error = failure(!transaction.puts.empty())) return Unexpected(*error);
    return store_.commit(transaction);
  }
  Result<std::vector<StoredEntry>> list(std::string_view prefix) override {
    if (auto error = failure(false)) return Unexpected(*error);
    return store_.list(prefix);
  }
  Result<std::vector<std::string>> keys(std::string_view prefix) override {
    if (auto error = failure(false)) return Unexpected(*error);
    return store_.keys(prefix);
  }
  Result<void> refresh(std::string_view key) override {
    if (auto error = failure(true)) return Unexpected(*error);
    return store_.refresh(key);
  }
  std::unique_ptr<Watch> watch(std::string_view prefix, StoreListener& listener) override {
    if (!healthy()) return std::make_unique<Watch>();  // of a store that is away: it tells nothing
    return store_.watch(prefix, listener);
  }
  bool healthy() const noexcept override {
    const std::scoped_lock lock(mutex_);
    return !error_ || error_->code != ErrorCode::kUnavailable;
  }

 private:
  std::optional<Error> failure(bool writes) {
    const std::scoped_lock lock(mutex_);
    ++calls_;
    if (after_ > 0) {
      if (writes) --after_;
      return std::nullopt;
    }
    // What failed for want of space fails only writes.
    if (error_ && error_->code == ErrorCode::kDiskFull && !writes) return std::nullopt;
    return error_;
  }

  KeyValueStore& store_;
  mutable std::mutex mutex_;
  std::optional<Error> error_;
  int after_ = 0;
  std::atomic<int> calls_{0};
};

}  // namespace serverledge::test
