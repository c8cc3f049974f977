#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "serverledge/core/key_value_store.hpp"

namespace serverledge::test {

/// Writes down what a watch tells: "reset a=1 b=2", "put a=1", "removed a".
class RecordingListener final : public StoreListener {
 public:
  void reset(const std::vector<StoredEntry>& all, std::uint64_t revision) override {
    std::string line = "reset";
    for (const StoredEntry& entry : all) line += " " + entry.key + "=" + entry.value;
    note(line, revision);
  }
  void put(const StoredEntry& entry) override {
    note("put " + entry.key + "=" + entry.value, entry.revision);
  }
  void removed(const std::string& key, std::uint64_t revision) override { note("removed " + key, revision); }

  /// The lines, once there are at least `count`; what there is after 30 s.
  std::vector<std::string> lines(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(30), [&] { return lines_.size() >= count; });
    return lines_;
  }
  std::vector<std::uint64_t> revisions() {
    const std::scoped_lock lock(mutex_);
    return revisions_;
  }
  /// Runs at the start of every event, on the store's thread. Set before the watch begins.
  std::function<void()> on_event;

 private:
  void note(const std::string& line, std::uint64_t revision) {
    if (on_event) on_event();
    const std::scoped_lock lock(mutex_);
    lines_.push_back(line);
    revisions_.push_back(revision);
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
  std::vector<std::uint64_t> revisions_;
};

}  // namespace serverledge::test
