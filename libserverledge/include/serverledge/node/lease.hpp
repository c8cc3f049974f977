#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "serverledge/core/container_runtime.hpp"
#include "serverledge/core/function.hpp"

namespace serverledge {

/// Number of a container in the pool; never reused.
using ContainerId = std::uint64_t;

/// Something that the pool has given up and the rim must destroy outside the lock, and then report by
/// `Scheduler::destroyed`; until then its memory stays charged.
struct Discarded {
  ContainerId id = 0;
  FunctionPtr function;                  ///< null for an unspecialised instance
  std::shared_ptr<Container> container;  ///< null if it never started, or for an unspecialised instance
  std::string stock_runtime;             ///< set: one unspecialised instance of that runtime
  const char* reason = "";               ///< "evicted", "expired", "updated", "failed", "shutdown"
};

/// Takes back leases that nobody finished.
class LeaseHome {
 public:
  virtual ~LeaseHome() = default;
  /// The slot of that container was given up without a report: the container is discarded, and `victims`,
  /// evicted for it, are still to be destroyed. Any thread, no lock held.
  virtual void lease_lost(ContainerId container, int slot, std::vector<Discarded> victims) noexcept = 0;
};

/// One slot of one container, and the only handle on it: a move-only token. `Scheduler::finish` is the only
/// way back to the pool; a lease that is destroyed without it discards the container. Never destroy one under
/// the node's lock.
class Lease {
 public:
  Lease() = default;
  Lease(LeaseHome& home, ContainerId id, int slot, FunctionPtr function, std::shared_ptr<Container> container,
        std::vector<Discarded> victims)
      : home_(&home),
        id_(id),
        slot_(slot),
        function_(std::move(function)),
        container_(std::move(container)),
        cold_(container_ == nullptr),
        victims_(std::move(victims)) {}
  Lease(Lease&& other) noexcept { swap(other); }
  Lease& operator=(Lease&& other) noexcept {
    Lease(std::move(other)).swap(*this);
    return *this;
  }
  ~Lease() {
    if (home_ != nullptr) home_->lease_lost(id_, slot_, std::move(victims_));
  }

  explicit operator bool() const { return home_ != nullptr; }
  ContainerId id() const { return id_; }
  int slot() const { return slot_; }
  /// The record that the container was, or is to be, started from.
  const FunctionPtr& function() const { return function_; }
  /// Whether its holder has to start the container (destroying `victims` first).
  bool cold() const { return cold_; }
  /// The container; null until it has been started.
  const std::shared_ptr<Container>& container() const { return container_; }
  /// What was evicted to make room for it; moves it out.
  std::vector<Discarded> take_victims() { return std::exchange(victims_, {}); }

  /// For pools: the container that its holder has started.
  void attach(std::shared_ptr<Container> container) { container_ = std::move(container); }
  /// For pools: the slot has been taken back; nothing is reported any more.
  void surrender() noexcept { home_ = nullptr; }

 private:
  void swap(Lease& other) noexcept {
    std::swap(home_, other.home_);
    std::swap(id_, other.id_);
    std::swap(slot_, other.slot_);
    std::swap(function_, other.function_);
    std::swap(container_, other.container_);
    std::swap(cold_, other.cold_);
    std::swap(victims_, other.victims_);
  }

  LeaseHome* home_ = nullptr;
  ContainerId id_ = 0;
  int slot_ = 0;
  FunctionPtr function_;
  std::shared_ptr<Container> container_;
  bool cold_ = false;
  std::vector<Discarded> victims_;
};

}  // namespace serverledge
