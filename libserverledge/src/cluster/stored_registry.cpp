#include "serverledge/cluster/stored_registry.hpp"

#include <fmt/format.h>

#include <atomic>
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
  void start(StoreSharing sharing);

  Result<FunctionPtr> find(std::string_view name) override;
  Result<FunctionPtr> create(Function function, std::string_view code) override;
  Result<FunctionPtr> update(Function function, std::string_view code) override;
  Result<void> remove(std::string_view name) override;
  std::vector<FunctionPtr> list() override;
  Result<std::string> code(const Function& function) override;
  void on_change(Listener listener) override { copy_.on_change(std::move(listener)); }

 private:
  struct Nothing {};

  // What the watch tells, on the store's thread.
  void connected(const std::string& incarnation) override { incarnation_ = incarnation; }
  void reset(const std::vector<StoredEntry>& all, std::uint64_t revision) override;
  void put(const StoredEntry& entry) override;
  void removed(const std::string& key, std::uint64_t revision) override;

  void load_kept();
  FunctionPtr function_of(const StoredEntry& entry);
  std::uint64_t revision_of(std::uint64_t stored) const;
  Result<FunctionPtr> look_up(const std::string& name);
  Result<Turns<Nothing>::Turn> turn();
  Result<FunctionPtr> write(Function function, std::string_view code, bool replace);
  Result<std::optional<Function>> stored(const std::string& name);
  void drop_code(const std::string& name, const std::string& digest);
  void remove_leftover_code();

  KeyValueStore& store_;
  Observer& observer_;
  CodePieces pieces_;
  FunctionCopy copy_;
  FunctionLookups lookups_;
  Turns<Nothing> turns_;                    // of changes: code and record go together
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

void StoredRegistry::start(StoreSharing sharing) {
  if (keeper_) load_kept();
  if (const auto entries = store_.list(kFunctionPrefix)) {
    for (const StoredEntry& entry : *entries) {
      if (const FunctionPtr function = function_of(entry))
        copy_.ahead(name_of(entry.key), function, entry.revision);
    }
    if (sharing == StoreSharing::kAlone) remove_leftover_code();
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

Result<Turns<StoredRegistry::Nothing>::Turn> StoredRegistry::turn() {
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
  const auto before = stored(function.name);
  if (!before) return Unexpected(before.error());
  if (*before && !replace) return Unexpected(exists(function.name));
  if (large) {
    if (auto written = pieces_.write(function.name, function.code_digest, code); !written) {
      return Unexpected(written.error());
    }
  }
  std::string record;
  if (large) {
    record = to_json(function, {});
  } else {
    Function plain = function;  // as other implementations write it: they find the digest by themselves
    plain.code_digest.clear();
    plain.code_size = 0;
    record = to_json(plain, base64_encode(code));
  }
  const std::string key = key_of(function.name);
  const auto revision = replace ? store_.put(key, record) : store_.create(key, record);
  if (!revision) {
    // Away: the record may have been written all the same, and its code must stay then.
    if (large && revision.error().code != ErrorCode::kUnavailable)
      drop_code(function.name, function.code_digest);
    return Unexpected(revision.error().code == ErrorCode::kExists ? exists(function.name) : revision.error());
  }
  function.revision = revision_of(*revision);
  auto published = std::make_shared<const Function>(std::move(function));
  copy_.ahead(published->name, published, *revision);
  if (*before) drop_code(published->name, (*before)->code_digest);
  return published;
}

Result<void> StoredRegistry::remove(std::string_view name) {
  const auto mine = turn();
  if (!mine) return Unexpected(mine.error());
  const std::string own(name);
  const auto before = stored(own);
  if (!before) return Unexpected(before.error());
  const auto revision = store_.remove(key_of(name));
  if (!revision) return Unexpected(revision.error());
  if (!*revision) {
    if (keeper_ && keeper_->withdraw(key_of(name))) {  // the store has lost it, and was about to get it back
      copy_.drop(own);
      return {};
    }
    return Unexpected(ErrorCode::kNotFound, fmt::format("there is no function '{}'", name));
  }
  copy_.ahead(own, nullptr, **revision);
  if (*before) drop_code(own, (*before)->code_digest);
  return {};
}

/// The record as it is in the store at present; nothing if there is none, or none that can be read.
Result<std::optional<Function>> StoredRegistry::stored(const std::string& name) {
  const auto entry = store_.get(key_of(name));
  if (!entry) return Unexpected(entry.error());
  if (!*entry) return std::optional<Function>{};
  auto record = read_record(**entry);
  return record ? std::optional(std::move(record->function)) : std::nullopt;
}

/// Removes the pieces of that code unless the record refers to them, or cannot be asked.
void StoredRegistry::drop_code(const std::string& name, const std::string& digest) {
  if (digest.empty()) return;
  const auto current = stored(name);
  if (current && (!*current || (*current)->code_digest != digest)) pieces_.remove(name, digest);
}

void StoredRegistry::remove_leftover_code() {
  const auto owners = pieces_.owners();
  if (!owners) return;
  for (const CodePieces::Owner& owner : *owners) drop_code(owner.function, owner.digest);
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
                                                       StoreSharing sharing, KeyValueStore* disk) {
  auto registry = std::make_unique<StoredRegistry>(store, clock, observer, disk);
  registry->start(sharing);
  return registry;
}

}  // namespace serverledge
