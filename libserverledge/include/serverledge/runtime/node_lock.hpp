#pragma once

#include <memory>
#include <string>
#include <vector>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// A node's name on its machine, and the proof that it lives: a locked file `<id>.lock` in a folder that all
/// nodes of the machine share. Whatever a node makes outside its own processes (control groups, folders, ids,
/// Docker labels) carries the id, so that what a dead node left behind is found by its lock, which nobody
/// holds any more. Move-only. Thread-compatible; the accessors may be used from any thread.
class NodeLock {
 public:
  /// Takes the id that is kept in the directory `store_path` (made there at first), or a new one if that is
  /// empty. Waits a few seconds for the processes of an earlier life to go. kExists if another node uses that
  /// store; kUnavailable if a folder cannot be made. `run_root` is what `default_run_root` gives, or a test's
  /// own.
  static Result<NodeLock> acquire(const std::string& store_path,
                                  const std::string& run_root = default_run_root());

  NodeLock(NodeLock&&) noexcept;
  NodeLock& operator=(NodeLock&&) noexcept;
  /// Removes the node's folder and its lock.
  ~NodeLock();

  /// 16 hexadecimal digits.
  const std::string& id() const;
  /// A folder of this node's own (mode 0700), empty at first.
  const std::string& folder() const;
  const std::string& run_root() const;
  /// The locked descriptor: a process that inherits it keeps the node's leftovers from being taken for dead.
  int fd() const;

  /// Claims every node here whose owner is dead. As long as such a lock is held nobody else cleans up after
  /// that node or takes its id; its destructor removes folder and lock, so the caller first removes the rest.
  std::vector<NodeLock> claim_dead() const;

  /// Where the locks are: /run/serverledge as root, else $XDG_RUNTIME_DIR/serverledge, else
  /// /tmp/serverledge-<uid>.
  static std::string default_run_root();

 private:
  struct State;
  explicit NodeLock(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace serverledge
