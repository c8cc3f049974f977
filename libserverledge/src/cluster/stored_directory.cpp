#include "serverledge/cluster/stored_directory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "cluster/kept_members.hpp"

namespace serverledge {
namespace {

constexpr Duration kRegisterAgain = std::chrono::seconds(1);
constexpr std::size_t kLongestLogged = 200;

/// One area as the watch tells it.
class WatchedArea final : public StoreListener {
 public:
  WatchedArea(std::string area, const std::string& kept_in, Observer& observer, std::function<void()> changed)
      : area_(std::move(area)), observer_(observer), changed_(std::move(changed)) {
    if (kept_in.empty()) return;
    kept_.emplace(kept_in);
    for (StoredEntry& entry : kept_->load(area_)) entries_.emplace(entry.key, entry);
    if (!entries_.empty()) publish();
  }

  std::string prefix() const { return "registry/" + area_ + "/"; }
  const std::string& name() const { return area_; }

  void reset(const std::vector<StoredEntry>& all, std::uint64_t /*revision*/) override {
    std::map<std::string, StoredEntry> entries;
    for (const StoredEntry& entry : all) entries.emplace(entry.key, entry);
    {
      const std::scoped_lock lock(mutex_);
      entries_ = std::move(entries);
      told_ = true;
    }
    publish();
  }
  void put(const StoredEntry& entry) override {
    {
      const std::scoped_lock lock(mutex_);
      entries_.insert_or_assign(entry.key, entry);
    }
    publish();
  }
  void removed(const std::string& key, std::uint64_t /*revision*/) override {
    {
      const std::scoped_lock lock(mutex_);
      entries_.erase(key);
    }
    publish();
  }

  AreaMembers members() const {
    const std::scoped_lock lock(mutex_);
    return members_;
  }
  /// What stands under a key; nullopt as long as the store has told nothing.
  std::optional<std::string> value(const std::string& key) const {
    const std::scoped_lock lock(mutex_);
    if (!told_) return std::nullopt;
    const auto found = entries_.find(key);
    return found == entries_.end() ? std::string() : found->second.value;
  }

 private:
  void publish();
  void keep(const AreaMembers& members);
  std::map<std::string, StoredEntry> entries() const {
    const std::scoped_lock lock(mutex_);
    return entries_;
  }

  const std::string area_;
  Observer& observer_;
  const std::function<void()> changed_;
  std::optional<KeptMembers> kept_;
  // The store's thread alone:
  std::map<std::string, std::string> complained_;  // of which entries, with their values
  bool keeping_fails_ = false;
  mutable std::mutex mutex_;
  bool told_ = false;
  std::map<std::string, StoredEntry> entries_;
  AreaMembers members_;
};

/// A node whose key stands under two architectures is where it registered last.
void WatchedArea::publish() {
  std::map<std::pair<bool, std::string>, std::pair<std::uint64_t, Registration>> newest;
  for (const auto& [key, entry] : entries()) {
    auto read = read_registration(area_, key, entry.value);
    if (!read) {
      if (std::exchange(complained_[key], entry.value) != entry.value) {
        observer_.log(
            LogLevel::kWarning, "a registration that makes no sense is passed over",
            {{"key", std::string_view(key).substr(0, kLongestLogged)}, {"reason", read.error().message}});
      }
      continue;
    }
    auto& known = newest[{read->balancer, read->registration.peer.key}];
    if (entry.revision >= known.first) known = {entry.revision, std::move(read->registration)};
  }
  AreaMembers members;
  for (auto& [key, value] : newest) {
    (key.first ? members.balancers : members.nodes).push_back(std::move(value.second));
  }
  if (kept_) keep(members);
  {
    const std::scoped_lock lock(mutex_);
    members_ = std::move(members);
  }
  changed_();
}

/// What the store has told, on disk. A few kilobytes that nothing waits to reach the disk.
void WatchedArea::keep(const AreaMembers& members) {
  {
    const std::scoped_lock lock(mutex_);
    if (!told_) return;
  }
  std::vector<StoredEntry> entries;
  const auto add = [&](const std::vector<Registration>& registrations, bool balancer) {
    for (const auto& [peer, udp_port] : registrations) {
      entries.push_back({registration_key(area_, peer.arch, peer.key, balancer),
                         registration_value(peer.host, peer.port, udp_port, peer.arch), 0});
    }
  };
  add(members.nodes, false);
  add(members.balancers, true);
  const auto kept = kept_->keep(area_, entries);
  if (!kept && !keeping_fails_) {
    observer_.log(LogLevel::kWarning, "nodes of an area are not kept on disk",
                  {{"area", area_}, {"reason", kept.error().message}});
  }
  keeping_fails_ = !kept;
}

class StoredDirectory final : public NodeDirectory {
 public:
  StoredDirectory(StoredDirectoryOptions options, KeyValueStore& store, Observer& observer)
      : options_(std::move(options)), store_(store), observer_(observer) {
    std::sort(options_.areas.begin(), options_.areas.end());
    options_.areas.erase(std::unique(options_.areas.begin(), options_.areas.end()), options_.areas.end());
    for (const std::string& area : options_.areas) {
      areas_.push_back(
          std::make_unique<WatchedArea>(area, options_.kept_in, observer, [this] { area_changed(); }));
    }
    for (const auto& area : areas_) watches_.push_back(store.watch(area->prefix(), *area));
  }
  StoredDirectory(const StoredDirectory&) = delete;
  StoredDirectory& operator=(const StoredDirectory&) = delete;
  ~StoredDirectory() override {
    withdraw();
    watches_.clear();
  }

  void enlist(Enlistment self) override;
  void withdraw() override;
  AreaMembers members(std::string_view area) const override {
    for (const auto& watched : areas_) {
      if (watched->name() == area) return watched->members();
    }
    return {};
  }
  void on_change(std::function<void()> changed) override {
    const std::scoped_lock lock(listener_mutex_);
    listener_ = std::move(changed);
  }

 private:
  void area_changed();
  void keep_registered(const std::stop_token& stop);
  Result<void> renew();
  Result<void> write(const std::string& value);
  bool is_gone() const;
  void tell(const Result<void>& renewed);

  StoredDirectoryOptions options_;
  KeyValueStore& store_;
  Observer& observer_;
  std::vector<std::unique_ptr<WatchedArea>> areas_;
  std::vector<std::unique_ptr<KeyValueStore::Watch>> watches_;

  std::mutex listener_mutex_;  // held while the listener runs
  std::function<void()> listener_;

  std::mutex thread_mutex_;  // of enlist and withdraw
  std::jthread thread_;
  Enlistment self_;       // the thread's, while it runs
  std::string key_;       // likewise
  std::string value_;     // likewise: as last written
  bool failing_ = false;  // likewise
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool look_again_ = false;
};

void StoredDirectory::area_changed() {
  {
    const std::scoped_lock lock(mutex_);
    look_again_ = true;
    changed_.notify_all();
  }
  const std::scoped_lock lock(listener_mutex_);
  if (listener_) listener_();
}

void StoredDirectory::enlist(Enlistment self) {
  const std::scoped_lock lock(thread_mutex_);
  if (thread_.joinable()) return;
  self_ = std::move(self);
  key_ = registration_key(self_.area, self_.arch, self_.key, self_.balancer);
  value_.clear();
  thread_ = std::jthread([this](const std::stop_token& stop) { keep_registered(stop); });
}

void StoredDirectory::withdraw() {
  const std::scoped_lock lock(thread_mutex_);
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  // What another node has written there since is not ours to remove.
  if (!value_.empty() && store_.healthy()) {
    const auto now = store_.get(key_);
    if (now && *now && (*now)->value == value_) {
      StoreTransaction removal;
      removal.conditions.push_back({key_, (*now)->revision});
      removal.removals.push_back(key_);
      (void)store_.commit(removal);
    }
  }
  value_.clear();
}

void StoredDirectory::keep_registered(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      const std::scoped_lock lock(mutex_);
      look_again_ = false;
    }
    const Result<void> renewed = renew();
    tell(renewed);
    std::unique_lock lock(mutex_);
    const Duration pause =
        renewed ? options_.lease / 4 : std::min<Duration>(kRegisterAgain, options_.lease / 4);
    const auto until_gone = [&] { return renewed && look_again_ && is_gone(); };
    // The predicate is asked again at each change; others' changes are none of ours.
    changed_.wait_for(lock, stop, pause, until_gone);
  }
}

/// Whether the store tells that nothing stands under our key any more.
bool StoredDirectory::is_gone() const {
  for (const auto& area : areas_) {
    if (area->name() == self_.area) return area->value(key_) == std::string();
  }
  return false;
}

Result<void> StoredDirectory::renew() {
  const Result<std::string> address = self_.address();
  if (!address) return Unexpected(address.error());
  const std::string value = registration_value(*address, self_.port, self_.udp_port, self_.arch);
  if (value != value_) return write(value);
  const auto stored = store_.get(key_);
  if (!stored) return Unexpected(stored.error());
  if (*stored && (*stored)->value != value) {
    observer_.log(
        LogLevel::kWarning,
        "another node has registered under this one's key (registry.node.id must be unique in an area)",
        {{"key", key_}, {"its", (*stored)->value}, {"ours", value}});
    return write(value);
  }
  const auto refreshed = *stored ? store_.refresh(key_) : Result<void>(Unexpected(ErrorCode::kNotFound, ""));
  if (refreshed || refreshed.error().code != ErrorCode::kNotFound) return refreshed;
  return write(value);
}

Result<void> StoredDirectory::write(const std::string& value) {
  const auto written = store_.put(key_, value, options_.lease);
  if (!written) return Unexpected(written.error());
  value_ = value;
  observer_.log(LogLevel::kInfo, "registered", {{"key", key_}, {"value", value}});
  return {};
}

/// Once for each time that it begins to fail.
void StoredDirectory::tell(const Result<void>& renewed) {
  if (!renewed && !failing_) {
    observer_.log(LogLevel::kWarning, "cannot register, trying again",
                  {{"key", key_}, {"reason", renewed.error().message}});
  }
  failing_ = !renewed;
}

}  // namespace

std::unique_ptr<NodeDirectory> make_stored_directory(StoredDirectoryOptions options, KeyValueStore& store,
                                                     Observer& observer) {
  return std::make_unique<StoredDirectory>(std::move(options), store, observer);
}

}  // namespace serverledge
