#include "cluster/entry_table.hpp"

namespace serverledge {

using Query = SqliteDatabase::Query;

Result<std::optional<StoredEntry>> EntryTable::get(std::string_view key, std::int64_t now) {
  Query query(get_);
  const auto row = query.bind(1, key).bind(2, now).step();
  if (!row) return Unexpected(row.error());
  if (!*row) return std::optional<StoredEntry>{};
  return std::optional(StoredEntry{std::string(key), std::string(query.bytes(1)),
                                   static_cast<std::uint64_t>(query.integer(0))});
}

Result<std::vector<StoredEntry>> EntryTable::list(std::string_view prefix, std::int64_t now) {
  std::vector<StoredEntry> all;
  Query query(list_);
  query.bind(1, prefix).bind(2, now);
  while (true) {
    const auto row = query.step();
    if (!row) return Unexpected(row.error());
    if (!*row || !query.bytes(0).starts_with(prefix)) return all;
    all.push_back({std::string(query.bytes(0)), std::string(query.bytes(2)),
                   static_cast<std::uint64_t>(query.integer(1))});
  }
}

Result<std::vector<std::string>> EntryTable::keys(std::string_view prefix, std::int64_t now) {
  std::vector<std::string> all;
  Query query(keys_);
  query.bind(1, prefix).bind(2, now);
  while (true) {
    const auto row = query.step();
    if (!row) return Unexpected(row.error());
    if (!*row || !query.bytes(0).starts_with(prefix)) return all;
    all.emplace_back(query.bytes(0));
  }
}

Result<std::uint64_t> EntryTable::revision() {
  Query query(read_counter_);
  const auto row = query.step();
  if (!row) return Unexpected(row.error());
  return *row ? static_cast<std::uint64_t>(query.integer(0)) : 0;
}

Result<std::int64_t> EntryTable::first_expiry() {
  Query query(first_expiry_);
  const auto row = query.step();
  if (!row) return Unexpected(row.error());
  return *row ? query.integer(0) : kNever;
}

Result<std::uint64_t> EntryTable::commit(std::uint64_t current,
                                         const std::function<Result<std::uint64_t>()>& work) {
  auto committed = attempt(current, work);
  if (!committed) database_->roll_back();
  return committed;
}

Result<std::uint64_t> EntryTable::attempt(std::uint64_t current,
                                          const std::function<Result<std::uint64_t>()>& work) {
  if (auto begun = run(begin_); !begun) return Unexpected(begun.error());
  auto revision = work();
  if (!revision) return revision;
  if (*revision != current) {
    Query query(write_counter_);
    if (auto stepped = query.bind(1, static_cast<std::int64_t>(*revision)).step(); !stepped) {
      return Unexpected(stepped.error());
    }
  }
  if (auto committed = run(commit_); !committed) return Unexpected(committed.error());
  return revision;
}

EntryTable::Statement& EntryTable::statement_for(EntryChange::Kind kind) {
  switch (kind) {
    case EntryChange::Kind::kPut:
      return put_;
    case EntryChange::Kind::kCreate:
      return create_;
    case EntryChange::Kind::kRemove:
      return remove_;
    case EntryChange::Kind::kRefresh:
      break;
  }
  return refresh_;
}

Result<bool> EntryTable::apply(const EntryChange& change, std::uint64_t revision, std::int64_t now) {
  using Kind = EntryChange::Kind;
  {
    Query query(statement_for(change.kind));
    query.bind(1, change.key);
    if (change.kind == Kind::kPut || change.kind == Kind::kCreate) {
      query.bind(2, static_cast<std::int64_t>(revision)).bind(5, change.value);
      if (change.ttl) query.bind(3, *change.ttl).bind(4, expiry(now, *change.ttl));
      if (change.kind == Kind::kCreate) query.bind(6, now);
    } else {
      query.bind(2, now);
      if (change.kind == Kind::kRefresh) query.bind(3, kNever);
    }
    if (auto stepped = query.step(); !stepped) return stepped;
  }
  if (database_->changes() > 0) return true;
  if (change.kind != Kind::kRefresh) return false;
  Query query(revision_of_);  // without a ttl there is nothing to refresh
  return query.bind(1, change.key).bind(2, now).step();
}

Result<bool> EntryTable::holds(const StoreTransaction::Condition& condition, std::int64_t now) {
  Query query(revision_of_);
  const auto row = query.bind(1, condition.key).bind(2, now).step();
  if (!row) return row;
  return condition.revision == (*row ? static_cast<std::uint64_t>(query.integer(0)) : 0);
}

Result<std::vector<std::string>> EntryTable::remove_expired(std::int64_t now) {
  std::vector<std::string> removed;
  Query query(remove_expired_);
  query.bind(1, now);
  while (true) {
    const auto row = query.step();
    if (!row) return Unexpected(row.error());
    if (!*row) return removed;
    removed.emplace_back(query.bytes(0));
  }
}

Result<void> EntryTable::run(Statement& statement) {
  Query query(statement);
  if (auto stepped = query.step(); !stepped) return Unexpected(stepped.error());
  return {};
}

}  // namespace serverledge
