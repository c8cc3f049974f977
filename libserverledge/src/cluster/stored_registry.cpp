#include "serverledge/cluster/stored_registry.hpp"

#include <fmt/format.h>

#include <atomic>
#include <set>
#include <utility>

#include "cluster/code_pieces.hpp"
#include "cluster/function_copy.hpp"
#include "cluster/function_keeper.hpp"
#include "cluster/function_lookups.hpp"
#include "cluster/turns.hpp"
#include "serverledge/net/base64.hpp"
#include "serverledge/net/sha256.hpp"

namespace serverledge {
namespace {

constexpr std::string_view kFunctionPrefix = "/function/";
/// How long a change waits for those before it.
constexpr Duration kTurnDeadline = std::chrono::seconds(30);
/// Of a function's revision: the store's own (enough for a million changes a second over eight years). The
/// bits above it say in which numbering.
constexpr int kRevisionBits = 48;

std::string key_of(std::string_view name) { return fmt::format("{}{}", kFunctionPrefix, name); }
std::string name_of(const std::string& key) { return key.substr(kFunctionPrefix.size()); }

Error too_busy(std::string_view name) {
  return {ErrorCode::kUnavailable,
          fmt::format("other nodes change the function '{}' all the time; try again", name),
          {}};
}

Error exists(std::string_view name) {
  return {ErrorCode::kExists, fmt::format("there is a function '{}' already", name), {}};
}

/// A record as it lies in the store, with the code if that stands in it.
struct Record {
  Function function;
  std::string code;
};

Result<Record> read_record(const StoredEntry& entry) {
  auto stored = function_from_json(entry.value);
  if (!stored) return Unexpected(stored.error());
  Record record{std::move(stored->function), {}};
  if (record.function.name != name_of(entry.key)) {
    return Unexpected(ErrorCode::kInvalid, fmt::format("it names the function '{}'", record.function.name));
  }
  if (!stored->code_base64.empty()) {
    auto code = base64_decode(stored->code_base64);
    if (!code) return Unexpected(ErrorCode::kInvalid, "TarFunctionCode: " + code.error().message);
    record.code = std::move(*code);
    record.function.code_digest = sha256_hex(record.code);
    record.function.code_size = record.code.size();
  }
  record.function.revision = entry.revision;
  return record;
}

class StoredRegistry final : public FunctionRegistry, private StoreListener {
 public:
  StoredRegistry(KeyValueStore& store, Clock& clock, Observer& observer, KeyValueStore* disk)
      : store_(store), observer_(observer), pieces_(store), lookups_(clock) {
    if (disk != nullptr) keeper_ = std::make_unique<FunctionKeeper>(store, *disk, observer);
  }

  /// Reads what there is, as far as the store answers, and begins to watch it.
  void start();

  Result<FunctionPtr> find(std::string_view name) override;
  Result<FunctionPtr> create(Function function, std::string_view code) override;
  Result<FunctionPtr> update(Function function, std::string_view code) override;
  Result<void> remove(std::string_view name) override;
  std::vector<FunctionPtr> list() override;
  Result<std::string> code(const Function& function) override;
  void on_change(Listener listener) override { copy_.on_change(std::move(listener)); }

 private:
  // What the watch tells, on the store's thread.
  void connected(const std::string& incarnation) override { incarnation_ = incarnation; }
  void reset(const std::vector<StoredEntry>& all, std::uint64_t revision) override;
  void put(const StoredEntry& entry) override;
  void removed(const std::string& key, std::uint64_t revision) override;

  void load_kept();
  FunctionPtr function_of(const StoredEntry& entry);
  std::uint64_t revision_of(std::uint64_t stored) const;
  Result<FunctionPtr> look_up(const std::string& name);
  Result<Turns<>::Turn> turn();
  Result<FunctionPtr> write(Function function, std::string_view code, bool replace);
  Result<std::uint64_t> replace_record(const Function& function, std::string_view code,
                                       const std::string& record, bool replace);
  Result<std::optional<std::uint64_t>> try_removal(const std::string& name);
  void remove_leftover_code(const std::vector<StoredEntry>& records);

  KeyValueStore& store_;
  Observer& observer_;
  CodePieces pieces_;
  FunctionCopy copy_;
  FunctionLookups lookups_;
  Turns<> turns_;                           // of changes: code and record go together
  std::unique_ptr<FunctionKeeper> keeper_;  // with a cluster's store
  std::string incarnation_;                 // of the watch's thread
  // Which numbering the store's revisions are of, in the highest bits of a function's revision: a store that
  // lost its data gives the same numbers to other records.
  std::atomic<std::uint64_t> numbering_{0};
  std::unique_ptr<KeyValueStore::Watch> watch_;
};

/// What was known before the restart, for as long as the store cannot be asked.
void StoredRegistry::load_kept() {
  FunctionCopy::Functions functions;
  for (const StoredEntry& entry : keeper_->start()) {
    if (FunctionPtr function = function_of(entry)) functions.emplace(name_of(entry.key), std::move(function));
  }
  copy_.told_all(std::move(functions), 0);
  numbering_ = 1;
}

void StoredRegistry::start() {
  if (keeper_) load_kept();
  if (const auto entries = store_.list(kFunctionPrefix)) {
    for (const StoredEntry& entry : *entries) {
      if (const FunctionPtr function = function_of(entry))
        copy_.ahead(name_of(entry.key), function, entry.revision);
    }
    remove_leftover_code(*entries);
  } else {
    observer_.log(LogLevel::kWarning, "functions_not_read",
                  {{"reason", entries.error().message}, {"known", std::to_string(copy_.all()->size())}});
  }
  watch_ = store_.watch(kFunctionPrefix, *this);
}

std::vector<FunctionPtr> StoredRegistry::list() {
  std::vector<FunctionPtr> functions;
  const auto all = copy_.all();  // or it would end before the loop
  for (const auto& [name, function] : *all) functions.push_back(function);
  return functions;
}

Result<FunctionPtr> StoredRegistry::find(std::string_view name) {
  if (FunctionPtr known = copy_.find(name)) return known;
  return lookups_.find(name, [this](const std::string& unknown) { return look_up(unknown); });
}

Result<FunctionPtr> StoredRegistry::look_up(const std::string& name) {
  const auto entry = store_.get(key_of(name), FunctionLookups::kLimit);
  if (!entry) return Unexpected(entry.error());
  FunctionPtr function = *entry ? function_of(**entry) : nullptr;
  if (!function) return Unexpected(ErrorCode::kNotFound, fmt::format("there is no function '{}'", name));
  copy_.ahead(name, function, (*entry)->revision);
  return function;
}

/// The function of an entry; null, and a line in the log, if it cannot be read.
FunctionPtr StoredRegistry::function_of(const StoredEntry& entry) {
  const std::uint64_t revision = revision_of(entry.revision);
  const FunctionPtr known = copy_.find(name_of(entry.key));
  if (known && known->revision == revision) return known;
  auto record = read_record(entry);
  if (!record) {
    observer_.log(LogLevel::kWarning, "function_unreadable",
                  {{"key", entry.key}, {"reason", record.error().message}});
    return nullptr;
  }
  Function& function = record->function;
  if (known && known->revision >> kRevisionBits != revision >> kRevisionBits) {
    // The same record in another numbering is the same function: its containers stay.
    function.revision = known->revision;
    if (function == *known) return known;
  }
  function.revision = revision;
  return std::make_shared<const Function>(std::move(function));
}

std::uint64_t StoredRegistry::revision_of(std::uint64_t stored) const {
  return (numbering_ << kRevisionBits) | (stored & ((std::uint64_t{1} << kRevisionBits) - 1));
}

void StoredRegistry::reset(const std::vector<StoredEntry>& all, std::uint64_t revision) {
  FunctionKeeper::Compared compared;
  if (keeper_) compared = keeper_->reset(all, revision, incarnation_);
  if (compared.other_data) {
    ++numbering_;
    copy_.begin_anew();
  }
  FunctionCopy::Functions functions;
  for (const StoredEntry& entry : all) {
    if (FunctionPtr function = function_of(entry)) functions.emplace(name_of(entry.key), std::move(function));
  }
  for (const std::string& key : compared.lost) {
    if (FunctionPtr known = copy_.find(name_of(key))) functions.emplace(name_of(key), std::move(known));
  }
  if (!compared.lost.empty()) {
    observer_.log(LogLevel::kError, "store_lost_data",
                  {{"functions", std::to_string(compared.lost.size())}, {"now", "putting them back"}});
  }
  copy_.told_all(std::move(functions), revision);
}

void StoredRegistry::put(const StoredEntry& entry) {
  copy_.told(name_of(entry.key), function_of(entry), entry.revision);
  if (keeper_) keeper_->put(entry);
}

void StoredRegistry::removed(const std::string& key, std::uint64_t revision) {
  copy_.told(name_of(key), nullptr, revision);
  if (keeper_) keeper_->removed(key);
}

Result<Turns<>::Turn> StoredRegistry::turn() {
  auto entered = turns_.enter(kTurnDeadline);
  if (entered.turn) return std::move(*entered.turn);
  return Unexpected(ErrorCode::kUnavailable, "too many changes of functions at a time; try again");
}

Result<FunctionPtr> StoredRegistry::create(Function function, std::string_view code) {
  return write(std::move(function), code, false);
}

Result<FunctionPtr> StoredRegistry::update(Function function, std::string_view code) {
  return write(std::move(function), code, true);
}

Result<FunctionPtr> StoredRegistry::write(Function function, std::string_view code, bool replace) {
  function.code_digest = code.empty() ? "" : sha256_hex(code);
  function.code_size = code.size();
  const bool large = code.size() > kLargestInlineCode;
  const auto mine = turn();
  if (!mine) return Unexpected(mine.error());
  std::string record;
  if (large) {
    record = to_json(function, {});
  } else {
    Function plain = function;  // as other implementations write it: they find the digest by themselves
    plain.code_digest.clear();
    plain.code_size = 0;
    record = to_json(plain, base64_encode(code));
  }
  const auto revision = replace_record(function, large ? code : "", record, replace);
  if (!revision) return Unexpected(revision.error());
  function.revision = revision_of(*revision);
  auto published = std::make_shared<const Function>(std::move(function));
  copy_.ahead(published->name, published, *revision);
  return published;
}

/// Writes the code that does not stand in the record, and in one transaction the record in place of the one
/// that is there and of its code. Once more if another node has changed that meanwhile.
Result<std::uint64_t> StoredRegistry::replace_record(const Function& function, std::string_view code,
                                                     const std::string& record, bool replace) {
  const std::string key = key_of(function.name);
  bool code_written = false;
  const auto give_up = [&](Error error) {
    // While the store is away that would only take another deadline.
    if (code_written && store_.healthy()) pieces_.remove_unused(key, function.name, function.code_digest);
    return Unexpected(std::move(error));
  };
  for (int attempt = 0; attempt < CodePieces::kAttempts; ++attempt) {
    const auto before = store_.get(key);
    if (!before) return give_up(before.error());
    if (*before && !replace) return give_up(exists(function.name));
    StoreTransaction change;
    change.conditions.push_back({key, *before ? (*before)->revision : 0});
    change.puts.push_back({key, record});
    if (!code.empty()) {
      code_written = true;  // perhaps in part
      auto written = pieces_.write(function.name, function.code_digest, code);
      if (!written) return give_up(written.error());
      change.conditions.push_back(std::move(*written));
    }
    const auto old = *before ? with_pieces((*before)->value) : std::nullopt;
    if (old && old->code_digest != function.code_digest)
      change.removed_prefixes.push_back(pieces_.folder(function.name, old->code_digest));
    const auto revision = store_.commit(change);
    if (revision && *revision) return **revision;
    if (revision) continue;
    // Away: the record may have been written all the same, and its code must stay then.
    if (revision.error().code == ErrorCode::kUnavailable) return Unexpected(revision.error());
    return give_up(revision.error());
  }
  return give_up(too_busy(function.name));
}

Result<void> StoredRegistry::remove(std::string_view name) {
  const auto mine = turn();
  if (!mine) return Unexpected(mine.error());
  const std::string own(name);
  for (int attempt = 0; attempt < CodePieces::kAttempts; ++attempt) {
    const auto revision = try_removal(own);
    if (!revision) return Unexpected(revision.error());
    if (!*revision) continue;
    if (**revision != 0) copy_.ahead(own, nullptr, **revision);
    return {};
  }
  return Unexpected(too_busy(name));
}

/// Removes the record as it is at present, with all code of the function. The revision; 0 if the store has
/// lost it, and was about to get it back; nothing if another node has changed it meanwhile.
Result<std::optional<std::uint64_t>> StoredRegistry::try_removal(const std::string& name) {
  const auto before = store_.get(key_of(name));
  if (!before) return Unexpected(before.error());
  if (!*before) {
    if (!keeper_ || !keeper_->withdraw(key_of(name)))
      return Unexpected(ErrorCode::kNotFound, fmt::format("there is no function '{}'", name));
    copy_.drop(name);
    return std::optional<std::uint64_t>(0);
  }
  StoreTransaction removal;
  removal.conditions.push_back({key_of(name), (*before)->revision});
  removal.removals.push_back(key_of(name));
  removal.removed_prefixes.push_back(pieces_.folder(name));
  return store_.commit(removal);
}

void StoredRegistry::remove_leftover_code(const std::vector<StoredEntry>& records) {
  const auto owners = pieces_.owners();
  if (!owners) return;
  std::set<std::pair<std::string, std::string>> used;
  for (const StoredEntry& record : records) {
    if (const auto function = with_pieces(record.value)) used.emplace(function->name, function->code_digest);
  }
  for (const CodePieces::Owner& owner : *owners) {
    if (!used.contains({owner.function, owner.digest}))
      pieces_.remove_unused(key_of(owner.function), owner.function, owner.digest);
  }
}

Result<std::string> StoredRegistry::code(const Function& function) {
  if (function.code_digest.empty()) return std::string();
  if (keeper_) {  // the disk is nearer than the store, and never away
    if (auto kept = keeper_->code(key_of(function.name), function)) return kept;
  }
  const auto entry = store_.get(key_of(function.name));
  if (!entry) return Unexpected(entry.error());
  if (*entry) {
    auto record = read_record(**entry);
    if (record && !record->code.empty() && record->function.code_digest == function.code_digest) {
      return std::move(record->code);
    }
  }
  auto code = pieces_.read(function.name, function.code_digest, function.code_size);
  if (code && sha256_hex(*code) != function.code_digest) {
    return Unexpected(ErrorCode::kInternal,
                      fmt::format("the code of function '{}' is damaged", function.name));
  }
  return code;
}

}  // namespace

std::unique_ptr<FunctionRegistry> make_stored_registry(KeyValueStore& store, Clock& clock, Observer& observer,
                                                       KeyValueStore* disk) {
  auto registry = std::make_unique<StoredRegistry>(store, clock, observer, disk);
  registry->start();
  return registry;
}

}  // namespace serverledge
