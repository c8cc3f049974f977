#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/sqlite_database.hpp"
#include "serverledge/core/key_value_store.hpp"

namespace serverledge {

/// One change that somebody wants of the entries.
struct EntryChange {
  enum class Kind { kPut, kCreate, kRemove, kRefresh };
  Kind kind = Kind::kPut;
  std::string key;
  std::string value;
  std::optional<std::int64_t> ttl;  // nanoseconds
};

/// The entries as they lie in SQLite, and the rules of their ttl: an entry whose time has passed is not there
/// for anybody, even before it is removed. Times are nanoseconds of wall time. Confined to one thread at a
/// time.
class EntryTable {
 public:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  /// When something that begins `at` and lasts `ttl` ends.
  static std::int64_t expiry(std::int64_t at, std::int64_t ttl) {
    return ttl > 0 && at > kNever - ttl ? kNever : at + ttl;
  }

  explicit EntryTable(std::unique_ptr<SqliteDatabase> database) : database_(std::move(database)) {}

  Result<std::optional<StoredEntry>> get(std::string_view key, std::int64_t now);
  Result<std::vector<StoredEntry>> list(std::string_view prefix, std::int64_t now);
  Result<std::vector<std::string>> keys(std::string_view prefix, std::int64_t now);
  /// The revision of the last change that was committed.
  Result<std::uint64_t> revision();
  /// When the first entry expires; kNever if none does.
  Result<std::int64_t> first_expiry();

  /// Runs `work` as one transaction and sets the revision to what it gives; if it fails, nothing has
  /// happened.
  Result<std::uint64_t> commit(std::uint64_t current, const std::function<Result<std::uint64_t>()>& work);
  /// Within a commit: makes the change under that revision; false if it does not apply (create of what is
  /// there, remove or refresh of what is not).
  Result<bool> apply(const EntryChange& change, std::uint64_t revision, std::int64_t now);
  /// Within a commit: whether that is how it is.
  Result<bool> holds(const StoreTransaction::Condition& condition, std::int64_t now);
  /// Within a commit: removes some of what has expired, and gives the keys.
  Result<std::vector<std::string>> remove_expired(std::int64_t now);

 private:
  using Statement = SqliteDatabase::Statement;
  Statement& statement_for(EntryChange::Kind kind);
  Result<void> run(Statement& statement);
  Result<std::uint64_t> attempt(std::uint64_t current, const std::function<Result<std::uint64_t>()>& work);

  std::unique_ptr<SqliteDatabase> database_;
  Statement begin_{*database_, "BEGIN IMMEDIATE"};
  Statement commit_{*database_, "COMMIT"};
  Statement read_counter_{*database_, "SELECT revision FROM counter"};
  Statement write_counter_{*database_, "UPDATE counter SET revision=?1"};
  Statement first_expiry_{*database_,
                          "SELECT expires FROM entries WHERE expires IS NOT NULL ORDER BY expires LIMIT 1"};
  Statement get_{*database_,
                 "SELECT revision, value FROM entries WHERE key=?1 AND (expires IS NULL OR expires > ?2)"};
  Statement list_{
      *database_,
      "SELECT key, revision, value FROM entries WHERE key >= ?1 AND (expires IS NULL OR expires > ?2) "
      "ORDER BY key"};
  Statement keys_{
      *database_,
      "SELECT key FROM entries WHERE key >= ?1 AND (expires IS NULL OR expires > ?2) ORDER BY key"};
  Statement put_{*database_,
                 "INSERT INTO entries(key, revision, ttl, expires, value) VALUES(?1, ?2, ?3, ?4, ?5) "
                 "ON CONFLICT(key) DO UPDATE SET revision=excluded.revision, ttl=excluded.ttl, "
                 "expires=excluded.expires, value=excluded.value"};
  Statement create_{*database_,
                    "INSERT INTO entries(key, revision, ttl, expires, value) VALUES(?1, ?2, ?3, ?4, ?5) "
                    "ON CONFLICT(key) DO UPDATE SET revision=excluded.revision, ttl=excluded.ttl, "
                    "expires=excluded.expires, value=excluded.value WHERE entries.expires <= ?6"};
  Statement remove_{*database_, "DELETE FROM entries WHERE key=?1 AND (expires IS NULL OR expires > ?2)"};
  Statement refresh_{*database_,
                     "UPDATE entries SET expires = CASE WHEN ttl < ?3 - ?2 THEN ?2 + ttl ELSE ?3 END "
                     "WHERE key=?1 AND expires > ?2"};
  Statement revision_of_{*database_,
                         "SELECT revision FROM entries WHERE key=?1 AND (expires IS NULL OR expires > ?2)"};
  Statement remove_expired_{
      *database_,
      "DELETE FROM entries WHERE key IN "
      "(SELECT key FROM entries WHERE expires <= ?1 ORDER BY expires LIMIT 256) RETURNING key"};
};

}  // namespace serverledge
