#include "serverledge/cluster/embedded_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <system_error>
#include <thread>

#include "cluster/entry_table.hpp"
#include "cluster/private_files.hpp"
#include "cluster/turns.hpp"
#include "cluster/watch_hub.hpp"

namespace serverledge {
namespace {

/// How long a call waits for those before it.
constexpr Duration kDeadline = std::chrono::seconds(10);
/// Expired entries are removed at most this often: each time is a commit. (Nobody reads them meanwhile.)
constexpr Duration kCleaningPause = std::chrono::seconds(10);
/// Longest sleep while entries have a ttl: wall time may jump.
constexpr Duration kLongestSleep = std::chrono::seconds(60);
constexpr std::size_t kLargestValue = std::size_t{512} << 20;
/// What writes that come together share in one commit, at most.
constexpr std::size_t kMostShared = 128;
constexpr std::size_t kMostSharedBytes = std::size_t{4} << 20;

/// A change, or a transaction, and what became of it: the revision, or nothing if it did not apply.
struct Write {
  EntryChange change;
  std::optional<StoreTransaction> transaction = {};  // in place of the change
  Result<std::optional<std::uint64_t>> outcome{std::optional<std::uint64_t>{}};

  std::size_t bytes() const {
    std::size_t sum = change.value.size();
    if (transaction) {
      for (const StoreTransaction::Put& put : transaction->puts) sum += put.value.size();
    }
    return sum;
  }
};

/// The changes of a transaction one by one; `keys` gives those that begin with a prefix.
template <typename Keys>
Result<std::vector<EntryChange>> changes_of(const StoreTransaction& transaction, Keys keys) {
  std::vector<EntryChange> changes;
  for (const StoreTransaction::Put& put : transaction.puts)
    changes.push_back({EntryChange::Kind::kPut, put.key, put.value, {}});
  for (const std::string& key : transaction.removals)
    changes.push_back({EntryChange::Kind::kRemove, key, {}, {}});
  for (const std::string& prefix : transaction.removed_prefixes) {
    auto found = keys(prefix);
    if (!found) return Unexpected(std::move(found).error());
    for (std::string& key : *found) changes.push_back({EntryChange::Kind::kRemove, std::move(key), {}, {}});
  }
  return changes;
}

Unexpected late() {
  return Unexpected(ErrorCode::kUnavailable, "the store did not answer in time: its disk may be overloaded");
}

class EmbeddedStore final : public KeyValueStore {
 public:
  EmbeddedStore(std::unique_ptr<SqliteDatabase> database, Clock& clock)
      : clock_(clock), table_(std::move(database)) {}
  ~EmbeddedStore() override {
    thread_.request_stop();
    hub_.wake();
  }
  EmbeddedStore(const EmbeddedStore&) = delete;
  EmbeddedStore& operator=(const EmbeddedStore&) = delete;

  /// Reads where the counter stands and starts the thread.
  Result<void> start();

  Result<std::optional<StoredEntry>> get(std::string_view key, std::optional<Duration> within) override;
  Result<std::uint64_t> put(std::string_view key, std::string_view value,
                            std::optional<Duration> ttl) override;
  Result<std::uint64_t> create(std::string_view key, std::string_view value,
                               std::optional<Duration> ttl) override;
  Result<std::optional<std::uint64_t>> remove(std::string_view key) override;
  Result<std::optional<std::uint64_t>> commit(const StoreTransaction& transaction) override;
  Result<std::vector<StoredEntry>> list(std::string_view prefix) override;
  Result<std::vector<std::string>> keys(std::string_view prefix) override;
  Result<void> refresh(std::string_view key) override;
  std::unique_ptr<Watch> watch(std::string_view prefix, StoreListener& listener) override {
    return hub_.add(prefix, listener);
  }
  bool healthy() const noexcept override { return healthy_.load(std::memory_order_relaxed); }

 private:
  using WritePtr = std::shared_ptr<Write>;
  using Changes = std::vector<StoreChange>;

  std::int64_t wall() const { return clock_.wall().time_since_epoch().count(); }
  /// Remembers whether the store answers.
  template <typename Value>
  Result<Value> noted(Result<Value> result) {
    healthy_ = result || result.error().code != ErrorCode::kUnavailable;
    return result;
  }
  /// Reads within a turn.
  template <typename Read>
  auto read(Duration limit, Read reading) -> decltype(reading()) {
    const auto entered = turns_.enter(limit);
    using Outcome = decltype(reading());
    return noted(entered.turn ? reading() : Outcome(late()));
  }

  Result<std::optional<std::uint64_t>> write(Write write);
  void commit_all(const std::vector<WritePtr>& writes);
  Result<void> commit_together(const std::vector<WritePtr>& writes);
  Result<bool> apply(Write& write, std::uint64_t revision, Changes& changes);
  Result<bool> apply(const EntryChange& change, std::uint64_t revision, std::int64_t now, Changes& changes);
  Result<bool> apply(const StoreTransaction& transaction, std::uint64_t revision, std::int64_t now,
                     Changes& changes);
  void committed(std::uint64_t revision, const Changes& changes);

  Result<WatchHub::State> state(const std::string& prefix);
  void tend(const std::stop_token& stop);
  Duration until_cleaning() const;
  Result<void> clean();
  Result<void> remove_expired();

  Clock& clock_;
  Turns<Write> turns_;
  EntryTable table_;            // of who has the turn
  std::uint64_t revision_ = 0;  // of who has the turn
  WatchHub hub_;
  std::atomic<bool> healthy_{true};
  std::atomic<std::int64_t> next_expiry_{0};  // wall time, not later than the first expiry
  std::atomic<TimePoint> cleaned_{TimePoint::min()};
  std::jthread thread_;
};

Result<void> EmbeddedStore::start() {
  const auto revision = table_.revision();
  if (!revision) return Unexpected(revision.error());
  revision_ = *revision;
  thread_ = std::jthread([this](const std::stop_token& stop) { tend(stop); });
  return {};
}

Result<std::optional<StoredEntry>> EmbeddedStore::get(std::string_view key, std::optional<Duration> within) {
  return read(within.value_or(kDeadline), [&] { return table_.get(key, wall()); });
}

Result<std::vector<StoredEntry>> EmbeddedStore::list(std::string_view prefix) {
  return read(kDeadline, [&] { return table_.list(prefix, wall()); });
}

Result<std::vector<std::string>> EmbeddedStore::keys(std::string_view prefix) {
  return read(kDeadline, [&] { return table_.keys(prefix, wall()); });
}

Result<WatchHub::State> EmbeddedStore::state(const std::string& prefix) {
  return read(kDeadline, [&]() -> Result<WatchHub::State> {
    auto entries = table_.list(prefix, wall());
    if (!entries) return Unexpected(std::move(entries).error());
    return WatchHub::State{std::move(*entries), revision_};
  });
}

Result<std::uint64_t> EmbeddedStore::put(std::string_view key, std::string_view value,
                                         std::optional<Duration> ttl) {
  auto written = write({.change = {EntryChange::Kind::kPut, std::string(key), std::string(value),
                                   ttl ? std::optional(ttl->count()) : std::nullopt}});
  if (!written) return Unexpected(std::move(written).error());
  return **written;
}

Result<std::uint64_t> EmbeddedStore::create(std::string_view key, std::string_view value,
                                            std::optional<Duration> ttl) {
  auto written = write({.change = {EntryChange::Kind::kCreate, std::string(key), std::string(value),
                                   ttl ? std::optional(ttl->count()) : std::nullopt}});
  if (!written) return Unexpected(std::move(written).error());
  if (!*written) return Unexpected(ErrorCode::kExists, fmt::format("'{}' is there already", key));
  return **written;
}

Result<std::optional<std::uint64_t>> EmbeddedStore::remove(std::string_view key) {
  return write({.change = {EntryChange::Kind::kRemove, std::string(key), {}, {}}});
}

Result<std::optional<std::uint64_t>> EmbeddedStore::commit(const StoreTransaction& transaction) {
  return write({.change = {}, .transaction = transaction});
}

Result<void> EmbeddedStore::refresh(std::string_view key) {
  const auto written = write({.change = {EntryChange::Kind::kRefresh, std::string(key), {}, {}}});
  if (!written) return Unexpected(written.error());
  if (!*written) return Unexpected(ErrorCode::kNotFound, fmt::format("'{}' is not there any more", key));
  return {};
}

Result<std::optional<std::uint64_t>> EmbeddedStore::write(Write write) {
  if (write.bytes() > kLargestValue)
    return Unexpected(ErrorCode::kTooLarge, "more than 512 MB cannot be written at a time");
  const auto mine = std::make_shared<Write>(std::move(write));
  auto entered = turns_.enter(kDeadline, mine);
  if (entered.outcome == TurnOutcome::kLate) return noted<std::optional<std::uint64_t>>(late());
  if (entered.turn) {
    std::size_t count = 1;
    std::size_t bytes = mine->bytes();
    commit_all(entered.turn->gather([&](const Write& other) {
      bytes += other.bytes();
      return ++count <= kMostShared && bytes <= kMostSharedBytes;
    }));
  }
  return noted(mine->outcome);
}

// One commit for all; if there is no space for that, one for each: a write that is too much for the disk must
// not fail its neighbours.
void EmbeddedStore::commit_all(const std::vector<WritePtr>& writes) {
  const Result<void> together = commit_together(writes);
  if (together) return;
  const bool separately = writes.size() > 1 && together.error().code == ErrorCode::kDiskFull;
  for (const WritePtr& write : writes) {
    const Result<void> alone = separately ? commit_together({write}) : together;
    if (!alone) write->outcome = Unexpected(alone.error());
  }
}

Result<void> EmbeddedStore::commit_together(const std::vector<WritePtr>& writes) {
  Changes changes;
  const auto revision = table_.commit(revision_, [&]() -> Result<std::uint64_t> {
    std::uint64_t next = revision_;
    for (const WritePtr& write : writes) {
      const std::size_t before = changes.size();
      const auto applied = apply(*write, next + 1, changes);
      if (!applied) return Unexpected(applied.error());
      write->outcome = *applied ? std::optional(next + 1) : std::nullopt;
      if (changes.size() > before) ++next;
    }
    return next;
  });
  if (!revision) return Unexpected(revision.error());
  committed(*revision, changes);
  return {};
}

/// Whether it applied. What changed is added to the changes.
Result<bool> EmbeddedStore::apply(Write& write, std::uint64_t revision, Changes& changes) {
  const std::int64_t now = wall();
  return write.transaction ? apply(*write.transaction, revision, now, changes)
                           : apply(write.change, revision, now, changes);
}

Result<bool> EmbeddedStore::apply(const EntryChange& change, std::uint64_t revision, std::int64_t now,
                                  Changes& changes) {
  auto applied = table_.apply(change, revision, now);
  if (!applied || !*applied || change.kind == EntryChange::Kind::kRefresh) return applied;
  if (change.ttl) next_expiry_ = std::min(next_expiry_.load(), EntryTable::expiry(now, *change.ttl));
  changes.push_back({{change.key, change.value, revision}, change.kind == EntryChange::Kind::kRemove});
  return applied;
}

Result<bool> EmbeddedStore::apply(const StoreTransaction& transaction, std::uint64_t revision,
                                  std::int64_t now, Changes& changes) {
  for (const StoreTransaction::Condition& condition : transaction.conditions) {
    auto holds = table_.holds(condition, now);
    if (!holds || !*holds) return holds;
  }
  const auto all =
      changes_of(transaction, [&](const std::string& prefix) { return table_.keys(prefix, now); });
  if (!all) return Unexpected(all.error());
  for (const EntryChange& change : *all) {
    if (auto applied = apply(change, revision, now, changes); !applied) return applied;
  }
  return true;
}

void EmbeddedStore::committed(std::uint64_t revision, const Changes& changes) {
  revision_ = revision;
  hub_.publish(changes);
  if (until_cleaning() <= Duration::zero()) hub_.wake();
}

void EmbeddedStore::tend(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (until_cleaning() <= Duration::zero()) {
      // What could not be removed now is tried again after the pause.
      static_cast<void>(noted(clean()));
      cleaned_ = clock_.now();
    }
    if (!hub_.deliver_one([this](const std::string& prefix) { return state(prefix); })) {
      hub_.wait(std::clamp(until_cleaning(), Duration::zero(), kLongestSleep), stop);
    }
  }
}

Duration EmbeddedStore::until_cleaning() const {
  const std::int64_t next = next_expiry_;
  if (next == EntryTable::kNever) return kLongestSleep;
  const Duration due(next - wall());
  const TimePoint last = cleaned_;
  return last == TimePoint::min() ? due : std::max(due, last + kCleaningPause - clock_.now());
}

Result<void> EmbeddedStore::clean() {
  do {
    const auto entered = turns_.enter(kDeadline);
    if (!entered.turn) return late();
    if (auto removed = remove_expired(); !removed) return removed;
    const auto first = table_.first_expiry();
    if (!first) return Unexpected(first.error());
    next_expiry_ = *first;
  } while (next_expiry_ <= wall());
  return {};
}

Result<void> EmbeddedStore::remove_expired() {
  Changes changes;
  const auto revision = table_.commit(revision_, [&]() -> Result<std::uint64_t> {
    std::uint64_t next = revision_;
    auto keys = table_.remove_expired(wall());
    if (!keys) return Unexpected(keys.error());
    for (std::string& key : *keys) changes.push_back({{std::move(key), {}, ++next}, true});
    return next;
  });
  if (!revision) return Unexpected(revision.error());
  revision_ = *revision;
  hub_.publish(changes);
  return {};
}

}  // namespace

Result<std::unique_ptr<KeyValueStore>> open_embedded_store(const std::string& path, Clock& clock) {
  std::string file = path;
  if (path.empty()) return Unexpected(ErrorCode::kInvalid, "store.path is empty: name a folder, or :memory:");
  if (path != SqliteDatabase::kMemory) {
    std::error_code failure;
    const std::filesystem::path folder = std::filesystem::absolute(path, failure);
    if (failure)
      return Unexpected(ErrorCode::kUnavailable, fmt::format("store.path {}: {}", path, failure.message()));
    const std::filesystem::path database = (folder / "store.db").lexically_normal();
    if (auto made = make_private_folder(database.parent_path().string()); !made)
      return Unexpected(made.error());
    file = database.string();
  }
  auto database = SqliteDatabase::open(file);
  if (!database) return Unexpected(std::move(database).error());
  auto store = std::make_unique<EmbeddedStore>(std::move(*database), clock);
  if (auto started = store->start(); !started) return Unexpected(started.error());
  return std::unique_ptr<KeyValueStore>(std::move(store));
}

}  // namespace serverledge
