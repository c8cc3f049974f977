#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "cluster/kept_functions.hpp"
#include "serverledge/core/function.hpp"
#include "serverledge/core/observer.hpp"

namespace serverledge {

/// Lets a node live without its cluster's store: keeps the functions on disk as the watch tells of them, with
/// their code, and puts back what the store has lost. What takes time is done by a thread of its own, so that
/// the watch is never held up. Thread-safe. The stores and the observer must outlive it.
class FunctionKeeper {
 public:
  FunctionKeeper(KeyValueStore& cluster, KeyValueStore& disk, Observer& observer);
  ~FunctionKeeper();
  FunctionKeeper(const FunctionKeeper&) = delete;
  FunctionKeeper& operator=(const FunctionKeeper&) = delete;

  /// What was kept before; then the thread begins. To be called once, first.
  std::vector<StoredEntry> start();

  /// The store has this record now.
  void put(const StoredEntry& record);
  /// The store has none under this key any more.
  void removed(const std::string& key);

  struct Compared {
    bool other_data = false;        ///< the store lost its data since, or another one is in its place
    std::vector<std::string> lost;  ///< keys that it lost with them: they are being put back
  };
  /// The store has all these, and no others, at that revision of the data of that name.
  Compared reset(const std::vector<StoredEntry>& all, std::uint64_t revision, const std::string& incarnation);
  /// Gives up putting that record back: whether that was going on.
  bool withdraw(const std::string& key);

  /// The code of a function, from disk; kNotFound if it is not there.
  Result<std::string> code(const std::string& key, const Function& function);

 private:
  struct Task {
    enum class Kind { kKeep, kForget, kBelong };
    Kind kind = Kind::kKeep;
    StoredEntry record;  // kForget: its key; kBelong: the name as value
  };

  void add(Task task);
  void work(const std::stop_token& stop);
  void perform(const Task& task);
  Result<void> fetch_code(const std::string& key);
  struct Lost {
    StoredEntry record;
    std::optional<Function> with_pieces;  // if its code lies in pieces
    std::optional<std::string> code;      // these, as this node has them
  };
  Result<void> put_back(const std::string& key);
  Result<bool> create_again(const Lost& lost);
  void try_pending(const std::stop_token& stop);
  void note(const char* event, const std::string& key, const Error& error);

  KeyValueStore& cluster_;
  Observer& observer_;
  KeptFunctions kept_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Task> tasks_;
  std::map<std::string, std::uint64_t> known_;  // revision by key: what is on disk once all tasks are done
  std::string incarnation_;                     // that these revisions belong to
  std::set<std::string> to_put_back_;
  std::string next_incarnation_;  // once all is put back
  std::set<std::string> without_code_;
  bool complained_ = false;  // about what is pending
  std::jthread thread_;
};

}  // namespace serverledge
