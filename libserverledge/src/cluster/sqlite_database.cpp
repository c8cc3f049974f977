#include "cluster/sqlite_database.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "cluster/private_files.hpp"

namespace serverledge {
namespace {

/// "Slgd": tells our files from those of other programs.
constexpr std::int64_t kApplicationId = 0x536c6764;
constexpr std::int64_t kSchemaVersion = 1;
/// A node that was killed a moment ago may still be going.
constexpr int kBusyMilliseconds = 1000;

// `value` comes last, so that a query that does not read it never walks through its pages.
constexpr const char* kSchema = R"sql(
CREATE TABLE entries(key BLOB PRIMARY KEY NOT NULL, revision INTEGER NOT NULL, ttl INTEGER, expires INTEGER, value BLOB NOT NULL);
CREATE INDEX entries_expires ON entries(expires) WHERE expires IS NOT NULL;
CREATE TABLE counter(revision INTEGER NOT NULL);
INSERT INTO counter VALUES(0);
)sql";

std::string reason(int error_number) { return std::generic_category().message(error_number); }

std::string damaged(const std::string& file) {
  return fmt::format(
      "{} is damaged or not a Serverledge store; it is left as it is: restore a copy of it, or move it "
      "away to begin with an empty store",
      file);
}

}  // namespace

Result<std::unique_ptr<SqliteDatabase>> SqliteDatabase::open(const std::string& file) {
  if (file != kMemory) {
    if (auto created = make_private_file(file); !created) return Unexpected(created.error());
  }
  std::unique_ptr<SqliteDatabase> database(new SqliteDatabase(file));
  for (const auto step : {&SqliteDatabase::connect, &SqliteDatabase::identify, &SqliteDatabase::make_durable,
                          &SqliteDatabase::check}) {
    if (auto done = (*database.*step)(); !done) return Unexpected(done.error());
  }
  return database;
}

Result<void> SqliteDatabase::connect() {
  sqlite3* handle = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                    (file_ == kMemory ? SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY : 0);
  const int opened = sqlite3_open_v2(file_.c_str(), &handle, flags, nullptr);
  handle_.reset(handle);
  if (opened != SQLITE_OK) {
    if (handle == nullptr) return Unexpected(ErrorCode::kUnavailable, fmt::format("cannot open {}", file_));
    return Unexpected(error());
  }
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, kBusyMilliseconds);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  // Until the file is known to be whole, closing it must not change it.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  return {};
}

// EXCLUSIVE: nobody else reads or writes the file from here on, and no shared memory beside it is needed.
Result<void> SqliteDatabase::identify() {
  if (auto done =
          execute("PRAGMA trusted_schema=OFF; PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;");
      !done) {
    return done;
  }
  const auto application = number("PRAGMA application_id");
  if (!application) return Unexpected(application.error());
  const auto version = number("PRAGMA user_version");
  if (!version) return Unexpected(version.error());
  const auto objects = number("SELECT count(*) FROM sqlite_master");
  if (!objects) return Unexpected(objects.error());
  empty_ = *application == 0 && *version == 0 && *objects == 0;
  if (empty_) return {};
  if (*application != kApplicationId) {
    return Unexpected(
        ErrorCode::kUnavailable,
        fmt::format("{} is a database of another program; it is left as it is: choose another store.path",
                    file_));
  }
  if (*version != kSchemaVersion) {
    return Unexpected(ErrorCode::kUnavailable,
                      fmt::format("{} has format {}, but this version of Serverledge reads "
                                  "format {}; it is left as it is",
                                  file_, *version, kSchemaVersion));
  }
  return {};
}

// FULL: a commit returns when the log is on the disk.
Result<void> SqliteDatabase::make_durable() {
  auto done = execute(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=8388608;"
      "PRAGMA temp_store=MEMORY; PRAGMA secure_delete=FAST;");
  if (!done || !empty_) return done;
  done = execute(fmt::format("BEGIN;{} PRAGMA application_id={}; PRAGMA user_version={}; COMMIT;", kSchema,
                             kApplicationId, kSchemaVersion)
                     .c_str());
  if (!done) roll_back();
  return done;
}

Result<void> SqliteDatabase::check() {
  Statement statement(*this, "PRAGMA quick_check(1)");
  Query query(statement);
  const auto row = query.step();
  if (!row) return Unexpected(row.error());
  if (!*row || query.bytes(0) != "ok") {
    return Unexpected(ErrorCode::kUnavailable, damaged(file_), std::string(query.bytes(0)));
  }
  sqlite3_db_config(handle_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  return {};
}

Result<void> SqliteDatabase::execute(const char* sql) {
  if (sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return Unexpected(error());
  return {};
}

Result<std::int64_t> SqliteDatabase::number(const char* sql) {
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v2(handle_.get(), sql, -1, &prepared, nullptr) != SQLITE_OK) return Unexpected(error());
  const int stepped = sqlite3_step(prepared);
  const std::int64_t value = stepped == SQLITE_ROW ? sqlite3_column_int64(prepared, 0) : 0;
  const bool failed = stepped != SQLITE_ROW && stepped != SQLITE_DONE;
  const Error failure = failed ? error() : Error{};
  sqlite3_finalize(prepared);
  if (failed) return Unexpected(failure);
  return value;
}

void SqliteDatabase::roll_back() noexcept {
  if (sqlite3_get_autocommit(handle_.get()) == 0)
    sqlite3_exec(handle_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

Error SqliteDatabase::error() const {
  const int code = sqlite3_extended_errcode(handle_.get());
  const int system = sqlite3_system_errno(handle_.get());
  const std::string detail = fmt::format("SQLite {}: {}", code, sqlite3_errmsg(handle_.get()));
  const auto away = [&](std::string message) {
    return Error{ErrorCode::kUnavailable, std::move(message), detail};
  };
  switch (code & 0xff) {
    case SQLITE_FULL:
      return {ErrorCode::kDiskFull, fmt::format("no space left for {}: nothing was changed", file_), detail};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return away(fmt::format("{} is in use: is another node running with the same store.path?", file_));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return away(damaged(file_));
    case SQLITE_TOOBIG:
      return {ErrorCode::kTooLarge, "the value is larger than the store can hold", detail};
    case SQLITE_IOERR:
      if (is_no_space(system)) {
        return {ErrorCode::kDiskFull, fmt::format("no space left for {}: nothing was changed", file_),
                detail};
      }
      return away(fmt::format("cannot read or write {}: {}", file_, reason(system == 0 ? EIO : system)));
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return away(fmt::format("cannot open {}: {}", file_, reason(system == 0 ? EACCES : system)));
    case SQLITE_READONLY:
      return away(fmt::format("{} cannot be written: no permission, or a read-only disk", file_));
    case SQLITE_NOMEM:
      return away(fmt::format("no memory left to use {}", file_));
    default:
      return {ErrorCode::kInternal, fmt::format("the store {} failed", file_), detail};
  }
}

SqliteDatabase::Statement::Statement(SqliteDatabase& database, const char* sql) : database_(database) {
  sqlite3_stmt* prepared = nullptr;
  const int done =
      sqlite3_prepare_v3(database.handle_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &prepared, nullptr);
  statement_.reset(prepared);
  if (done != SQLITE_OK) throw std::logic_error(fmt::format("{}: {}", sql, database.error().detail));
}

SqliteDatabase::Query& SqliteDatabase::Query::bind(int index, std::string_view bytes) {
  // A null pointer would bind NULL, not the empty value.
  sqlite3_bind_blob64(statement_, index, bytes.empty() ? "" : bytes.data(), bytes.size(), SQLITE_STATIC);
  return *this;
}

SqliteDatabase::Query& SqliteDatabase::Query::bind(int index, std::int64_t value) {
  sqlite3_bind_int64(statement_, index, value);
  return *this;
}

Result<bool> SqliteDatabase::Query::step() {
  switch (sqlite3_step(statement_)) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      return false;
    default:
      return Unexpected(database_.error());
  }
}

std::string_view SqliteDatabase::Query::bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  if (data == nullptr) return {};
  return {static_cast<const char*>(data), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

}  // namespace serverledge
