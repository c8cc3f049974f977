#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/container_runtime.hpp"
#include "serverledge/core/function.hpp"
#include "serverledge/core/resources.hpp"
#include "serverledge/node/lease.hpp"
#include "serverledge/policy/keep_alive_policy.hpp"
#include "serverledge/policy/node_view.hpp"

namespace serverledge {

struct PoolOptions {
  Resources total;     ///< what all containers together may hold
  int max_starts = 4;  ///< containers that may be starting at a time
};

/// What an acquisition gave.
struct Acquired {
  enum class Kind {
    kLease,       ///< a slot: warm, or reserved and to be started by the holder
    kJoin,        ///< none now, but a container of the function is starting
    kStartLimit,  ///< there is room for a container, but too many are starting, or others are just being
                  ///< removed
    kNoMemory,    ///< not enough memory, even after evicting all that is idle
    kNoCores,     ///< not enough cores
  };
  Kind kind = Kind::kNoMemory;
  Lease lease;  ///< set if kind is kLease
};

/// Bookkeeping of the containers of a node: which exist, who uses them, what they hold. A machine: it does no
/// I/O, owns no thread and takes time as an argument. Thread-compatible: the owner serialises the calls. What
/// it gives up
/// (`Discarded`) must be destroyed by the caller outside its lock and then be reported by `destroyed`.
class ContainerPool {
 public:
  virtual ~ContainerPool() = default;

  /// A slot for a call of the function: in a busy container with room, else the idle one used last, else a
  /// new container, for which idle ones are evicted if need be. Nothing changes unless a lease is given.
  /// `promised` is what calls that already wait for a start will need.
  virtual Acquired acquire(const FunctionPtr& function, Resources promised, TimePoint now) = 0;
  /// Reserves a new container, without evicting any.
  virtual Acquired acquire_new(const FunctionPtr& function, TimePoint now) = 0;
  /// The holder of a cold lease has started its container, which took `init_time`.
  virtual void started(Lease& lease, std::shared_ptr<Container> container, Duration init_time) = 0;
  /// Takes a slot back. A doomed container gets no new leases and is given up with its last one.
  virtual std::vector<Discarded> release(Lease&& lease, bool doomed, TimePoint now) = 0;
  /// Takes back the slot of a lease that was lost.
  virtual std::vector<Discarded> lost(ContainerId container, int slot, TimePoint now) = 0;
  /// A discarded container is gone: its memory is free.
  virtual void destroyed(ContainerId container) = 0;

  /// Gives up idle containers whose time is over.
  virtual std::vector<Discarded> expire(TimePoint now) = 0;
  /// Gives up containers of that function other than those of `keep` (null: all); busy ones go with their
  /// last lease.
  virtual std::vector<Discarded> retire(std::string_view function, const FunctionPtr& keep,
                                        TimePoint now) = 0;
  /// Gives up all that is idle, and dooms the rest.
  virtual std::vector<Discarded> retire_all() = 0;

  /// Charges one unspecialised instance, if that fits beside what is `promised` to waiting starts without
  /// evicting anything. Its maker then says `stock_ready` or `stock_failed`.
  virtual std::optional<ContainerId> reserve_stock(const StockPlan& plan, Resources promised) = 0;
  /// It stands ready: a cold start of that runtime will take it. False if its charge is gone: drop it.
  virtual bool stock_ready(ContainerId id) = 0;
  /// It could not be made: the charge is given back.
  virtual void stock_failed(ContainerId id) = 0;
  /// How many are charged, ready or being made.
  virtual int stock(std::string_view runtime) const = 0;

  /// Totals, and what concerns one function.
  virtual PoolView view(std::string_view function) const = 0;
  /// Idle containers of each function that has, or lately had, any container.
  virtual std::vector<std::pair<std::string, int>> warm_containers() const = 0;
  /// Slots of starting containers of the function that are not leased yet.
  virtual int starting_slots(std::string_view function) const = 0;
  /// Containers that exist in any state, also those being removed.
  virtual std::size_t size() const = 0;
};

/// The shipped pool. `home` and `keep_alive` must outlive it and every lease.
std::unique_ptr<ContainerPool> make_container_pool(const PoolOptions& options, KeepAlivePolicy& keep_alive,
                                                   LeaseHome& home);

}  // namespace serverledge
