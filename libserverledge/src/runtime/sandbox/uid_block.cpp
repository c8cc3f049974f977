#include "runtime/sandbox/uid_block.hpp"

#include <fmt/format.h>

#include <utility>

namespace serverledge {
namespace {

constexpr std::uint32_t kFirst = 200000;
constexpr std::uint32_t kBlock = 1000;
constexpr std::uint32_t kBlocks = 1000;
constexpr std::uint32_t kShared = 1000;

}  // namespace

UidBlock::UidBlock(LockFile lock, std::uint32_t first, std::uint32_t count)
    : lock_(std::move(lock)), first_(first), count_(count) {
  if (count == 1) return;
  for (std::uint32_t i = 0; i < count; ++i) free_.push_back(first + i);
}

Result<UidBlock> UidBlock::lock(const std::string& run_root) {
  for (std::uint32_t i = 0; i < kBlocks; ++i) {
    const std::uint32_t first = kFirst + (i * kBlock);
    Result<std::optional<LockFile>> lock =
        LockFile::try_lock(fmt::format("{}/uids-{}.lock", run_root, first));
    if (!lock) return Unexpected(lock.error());
    if (lock->has_value()) return UidBlock(std::move(**lock), first, kBlock);
  }
  return Unexpected(ErrorCode::kNoResources,
                    "all blocks of user ids are taken by other nodes of this machine");
}

UidBlock UidBlock::shared() { return {LockFile(), kShared, 1}; }

Result<std::uint32_t> UidBlock::take() {
  if (count_ == 1) return first_;
  const std::scoped_lock guard(mutex_);
  if (free_.empty()) {
    return Unexpected(ErrorCode::kNoResources,
                      fmt::format("all {} user ids of this node are in use by sandboxes", count_));
  }
  const std::uint32_t uid = free_.front();
  free_.pop_front();
  return uid;
}

void UidBlock::give_back(std::uint32_t uid) {
  if (count_ == 1) return;
  const std::scoped_lock guard(mutex_);
  free_.push_back(uid);
}

}  // namespace serverledge
