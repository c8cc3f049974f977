#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// One connection to a SQLite database, opened so that a commit survives kill -9 and power loss. Confined to
/// one thread at a time.
class SqliteDatabase {
 public:
  static constexpr const char* kMemory = ":memory:";

  /// Opens the file (made with mode 0600 if it is missing; its folder must exist), or kMemory, and holds
  /// it alone until the object goes. kUnavailable with a sentence for the operator if the file is in use,
  /// damaged, foreign or not accessible (it is never changed then); kDiskFull.
  static Result<std::unique_ptr<SqliteDatabase>> open(const std::string& file);

  /// A prepared statement's run: bind, step, read; the statement is reset at the end.
  class Query;
  /// A prepared statement, kept for the life of the database.
  class Statement {
   public:
    Statement(SqliteDatabase& database, const char* sql);

   private:
    friend class Query;
    struct Finalize {
      void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
    };
    SqliteDatabase& database_;
    std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  };

  /// Runs statements that give no rows.
  Result<void> execute(const char* sql);
  /// Undoes the transaction that is open, if one is.
  void roll_back() noexcept;
  /// Rows that the last statement changed.
  int changes() const noexcept { return sqlite3_changes(handle_.get()); }
  /// What the last failure means to a caller.
  Error error() const;

 private:
  struct Close {
    void operator()(sqlite3* handle) const noexcept { sqlite3_close_v2(handle); }
  };
  explicit SqliteDatabase(std::string file) : file_(std::move(file)) {}
  Result<void> connect();
  Result<void> identify();
  Result<void> make_durable();
  Result<void> check();
  Result<std::int64_t> number(const char* sql);

  std::string file_;
  bool empty_ = false;  // nothing was stored in it yet when it was opened
  std::unique_ptr<sqlite3, Close> handle_;
};

class SqliteDatabase::Query {
 public:
  explicit Query(Statement& statement)
      : database_(statement.database_), statement_(statement.statement_.get()) {}
  ~Query() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  /// Parameters count from 1. Bytes must stay where they are until the query ends.
  Query& bind(int index, std::string_view bytes);
  Query& bind(int index, std::int64_t value);
  /// Goes to the next row; false after the last.
  Result<bool> step();
  /// Columns count from 0; valid until the next step.
  std::string_view bytes(int column) const;
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }

 private:
  SqliteDatabase& database_;
  sqlite3_stmt* statement_;
};

}  // namespace serverledge
