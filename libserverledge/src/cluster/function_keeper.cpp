#include "cluster/function_keeper.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "serverledge/net/base64.hpp"
#include "serverledge/net/sha256.hpp"

namespace serverledge {
namespace {

/// Pause between attempts at what could not be fetched or put back.
constexpr Duration kKeepAgain = std::chrono::seconds(1);

}  // namespace

FunctionKeeper::FunctionKeeper(KeyValueStore& cluster, KeyValueStore& disk, Observer& observer)
    : cluster_(cluster), observer_(observer), kept_(disk) {}

FunctionKeeper::~FunctionKeeper() {
  thread_.request_stop();
  changed_.notify_all();
}

std::vector<StoredEntry> FunctionKeeper::start() {
  std::vector<StoredEntry> records;
  auto kept = kept_.records();
  auto incarnation = kept_.incarnation();
  if (kept && incarnation) {
    records = std::move(*kept);
    incarnation_ = std::move(*incarnation);
  } else {
    observer_.log(LogLevel::kWarning, "kept_functions_not_read",
                  {{"reason", kept ? incarnation.error().message : kept.error().message}});
  }
  for (const StoredEntry& record : records) {
    known_[record.key] = record.revision;
    if (with_pieces(record.value)) without_code_.insert(record.key);  // looked at again
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
  return records;
}

void FunctionKeeper::add(Task task) {
  tasks_.push_back(std::move(task));
  changed_.notify_all();
}

void FunctionKeeper::put(const StoredEntry& record) {
  const std::scoped_lock lock(mutex_);
  to_put_back_.erase(record.key);
  std::uint64_t& known = known_[record.key];
  if (known == record.revision) return;
  known = record.revision;
  add({Task::Kind::kKeep, record});
}

void FunctionKeeper::removed(const std::string& key) {
  const std::scoped_lock lock(mutex_);
  to_put_back_.erase(key);
  if (known_.erase(key) != 0) add({Task::Kind::kForget, {key, {}, 0}});
}

bool FunctionKeeper::withdraw(const std::string& key) {
  const std::scoped_lock lock(mutex_);
  if (to_put_back_.erase(key) == 0) return false;
  known_.erase(key);
  add({Task::Kind::kForget, {key, {}, 0}});
  return true;
}

FunctionKeeper::Compared FunctionKeeper::reset(const std::vector<StoredEntry>& all, std::uint64_t revision,
                                               const std::string& incarnation) {
  Compared compared;
  const std::scoped_lock lock(mutex_);
  const bool older = std::ranges::any_of(known_, [&](const auto& known) { return known.second > revision; });
  // A store that was restored from a backup has its old name, and is behind what we know.
  compared.other_data = incarnation != incarnation_ || older;
  std::set<std::string> present;
  for (const StoredEntry& record : all) {
    present.insert(record.key);
    std::uint64_t& known = known_[record.key];
    if (known == record.revision && !compared.other_data) continue;
    known = record.revision;
    add({Task::Kind::kKeep, record});
  }
  for (auto known = known_.begin(); known != known_.end();) {
    if (present.contains(known->first)) {
      ++known;
    } else if (compared.other_data && !incarnation_.empty()) {
      compared.lost.push_back(known->first);
      known->second = 0;  // of no revision there; older than any
      ++known;
    } else {
      add({Task::Kind::kForget, {known->first, {}, 0}});
      known = known_.erase(known);
    }
  }
  to_put_back_ = {compared.lost.begin(), compared.lost.end()};
  complained_ = false;
  incarnation_ = incarnation;
  if (compared.other_data) next_incarnation_ = incarnation;
  changed_.notify_all();
  return compared;
}

void FunctionKeeper::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested() || !tasks_.empty()) {  // what is to be on disk gets there
    if (!tasks_.empty()) {
      const Task task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      perform(task);
      lock.lock();
      continue;
    }
    lock.unlock();
    try_pending(stop);
    lock.lock();
    const auto ready = [this] { return !tasks_.empty() || (!to_put_back_.empty() && !complained_); };
    if (to_put_back_.empty() && without_code_.empty()) {
      changed_.wait(lock, stop, ready);
    } else {
      changed_.wait_for(lock, stop, kKeepAgain, ready);
    }
  }
}

void FunctionKeeper::perform(const Task& task) {
  Result<void> done;
  switch (task.kind) {
    case Task::Kind::kKeep: {
      const auto before = kept_.record(task.record.key);
      const auto now = with_pieces(task.record.value);
      done = kept_.keep(task.record);
      if (before && *before) {
        const auto old = with_pieces((*before)->value);
        if (old && (!now || now->code_digest != old->code_digest))
          (void)kept_.code().remove(old->name, old->code_digest);  // what stays takes space, nothing else
      }
      const std::scoped_lock lock(mutex_);
      if (now) {
        without_code_.insert(task.record.key);
      } else {
        without_code_.erase(task.record.key);
      }
      break;
    }
    case Task::Kind::kForget: {
      done = kept_.forget(task.record.key);
      const std::scoped_lock lock(mutex_);
      without_code_.erase(task.record.key);
      break;
    }
    case Task::Kind::kBelong:
      done = kept_.belong_to(task.record.value);
      break;
  }
  if (!done) note("function_not_kept", task.record.key, done.error());
}

/// What needs the cluster's store: code that is not on disk yet, records that it lost.
void FunctionKeeper::try_pending(const std::stop_token& stop) {
  std::vector<std::string> fetch;
  std::vector<std::string> lost;
  {
    const std::scoped_lock lock(mutex_);
    fetch.assign(without_code_.begin(), without_code_.end());
    lost.assign(to_put_back_.begin(), to_put_back_.end());
  }
  const auto attempt = [&](const std::string& key, std::set<std::string>& pending, const char* event,
                           auto action) {
    if (stop.stop_requested()) return false;
    const Result<void> done = action(key);
    bool complain = false;
    {
      const std::scoped_lock lock(mutex_);
      if (done) {
        pending.erase(key);
      } else {
        complain = !std::exchange(complained_, true);
      }
    }
    if (complain) note(event, key, done.error());
    return done || done.error().code != ErrorCode::kUnavailable;
  };
  for (const std::string& key : lost) {
    if (!attempt(key, to_put_back_, "function_not_put_back",
                 [this](const auto& name) { return put_back(name); }))
      break;
  }
  for (const std::string& key : fetch) {
    if (!attempt(key, without_code_, "code_not_kept", [this](const auto& name) { return fetch_code(name); }))
      break;
  }
  const std::scoped_lock lock(mutex_);
  if (to_put_back_.empty() && !next_incarnation_.empty())
    add({Task::Kind::kBelong, {{}, std::exchange(next_incarnation_, {}), 0}});
}

Result<void> FunctionKeeper::fetch_code(const std::string& key) {
  const auto record = kept_.record(key);
  if (!record) return Unexpected(record.error());
  const auto function = *record ? with_pieces((*record)->value) : std::nullopt;
  if (!function) return {};
  if (const auto there = kept_.code().read(function->name, function->code_digest, function->code_size);
      there && sha256_hex(*there) == function->code_digest) {
    return {};
  }
  const auto code = CodePieces(cluster_).read(function->name, function->code_digest, function->code_size);
  if (!code) return Unexpected(code.error());
  const auto written = kept_.code().write(function->name, function->code_digest, *code);
  if (written) return {};
  (void)kept_.code().remove(function->name, function->code_digest);
  return Unexpected(written.error());
}

Result<void> FunctionKeeper::put_back(const std::string& key) {
  const auto record = kept_.record(key);
  if (!record) return Unexpected(record.error());
  if (!*record) return {};
  Lost lost{**record, with_pieces((*record)->value), std::nullopt};
  if (const auto& function = lost.with_pieces) {
    auto code = kept_.code().read(function->name, function->code_digest, function->code_size);
    if (code) lost.code = std::move(*code);
    if (!code) note("code_lost", key, code.error());  // another node may have it
  }
  for (int attempt = 0; attempt < CodePieces::kAttempts; ++attempt) {
    const auto settled = create_again(lost);
    if (!settled) return Unexpected(settled.error());
    if (*settled) return {};
  }
  return Unexpected(ErrorCode::kUnavailable, "its code is removed as soon as it is written");
}

/// Whether the cluster's store has now what it is to have: this record, or what somebody else wrote.
Result<bool> FunctionKeeper::create_again(const Lost& lost) {
  const std::string& key = lost.record.key;
  CodePieces pieces(cluster_);
  const auto write_code = [&] {
    return pieces.write(lost.with_pieces->name, lost.with_pieces->code_digest, *lost.code);
  };
  StoreTransaction creation;
  creation.conditions.push_back({key, 0});
  creation.puts.push_back({key, lost.record.value});
  if (lost.code) {
    auto written = write_code();
    if (!written) return Unexpected(written.error());
    creation.conditions.push_back(std::move(*written));
  }
  bool wanted = true;
  {
    const std::scoped_lock lock(mutex_);
    wanted = to_put_back_.contains(key);  // else somebody has removed it meanwhile, or written it
  }
  if (wanted) {
    const auto created = cluster_.commit(creation);
    if (!created) return Unexpected(created.error());
    if (*created) observer_.log(LogLevel::kWarning, "function_put_back", {{"key", key}});
    if (*created) return true;
  }
  if (!lost.code) return true;
  const auto there = cluster_.get(key);
  if (!there) return Unexpected(there.error());
  if (wanted && !*there) return false;  // the code has gone again
  const auto used = *there ? with_pieces((*there)->value) : std::nullopt;
  if (used && used->code_digest == lost.with_pieces->code_digest) {
    // Of a node that has no code, perhaps. From here on nobody removes ours.
    if (const auto written = write_code(); !written) return Unexpected(written.error());
  } else {
    pieces.remove_unused(key, lost.with_pieces->name, lost.with_pieces->code_digest);
  }
  return true;
}

Result<std::string> FunctionKeeper::code(const std::string& key, const Function& function) {
  const auto record = kept_.record(key);
  if (record && *record) {
    const auto stored = function_from_json((*record)->value);
    if (stored && !stored->code_base64.empty()) {
      auto code = base64_decode(stored->code_base64);
      if (code && sha256_hex(*code) == function.code_digest) return code;
    }
  }
  auto code = kept_.code().read(function.name, function.code_digest, function.code_size);
  if (code && sha256_hex(*code) == function.code_digest) return code;
  return Unexpected(ErrorCode::kNotFound, "the code is not on this node's disk");
}

void FunctionKeeper::note(const char* event, const std::string& key, const Error& error) {
  observer_.log(LogLevel::kWarning, event, {{"key", key}, {"reason", error.message}});
}

}  // namespace serverledge
