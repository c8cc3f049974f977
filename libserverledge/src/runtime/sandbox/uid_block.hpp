#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>

#include "runtime/lock_file.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// The user ids that a node's instances run as, one for each: a block of them that no other node of this
/// machine uses, for it is locked. Unprivileged nodes have a single one for all. Thread-safe.
class UidBlock {
 public:
  /// Locks a free block. kNoResources if all are taken.
  static Result<UidBlock> lock(const std::string& run_root);
  /// The one id that is mapped in the user namespace of an unprivileged node.
  static UidBlock shared();

  UidBlock(UidBlock&& other) noexcept
      : lock_(std::move(other.lock_)),
        first_(other.first_),
        count_(other.count_),
        free_(std::move(other.free_)) {}

  std::uint32_t first() const { return first_; }
  std::uint32_t count() const { return count_; }
  /// The lock's descriptor; -1 if there is none.
  int fd() const { return lock_.fd(); }

  /// An id that nobody else has; the one that was given back longest ago. kNoResources if all are in use.
  Result<std::uint32_t> take();
  void give_back(std::uint32_t uid);

 private:
  UidBlock(LockFile lock, std::uint32_t first, std::uint32_t count);

  LockFile lock_;
  std::uint32_t first_;
  std::uint32_t count_;
  std::mutex mutex_;
  std::deque<std::uint32_t> free_;
};

}  // namespace serverledge
