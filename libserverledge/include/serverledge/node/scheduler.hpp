#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/container_runtime.hpp"
#include "serverledge/core/mailbox.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/node/container_pool.hpp"
#include "serverledge/node/lease.hpp"
#include "serverledge/policy/decision.hpp"
#include "serverledge/policy/node_view.hpp"

namespace serverledge {

using TicketId = std::uint64_t;

/// A call that wants a place.
struct Arrival {
  std::string_view function;
  int qos_class = 0;                            ///< higher goes first
  TimePoint start_deadline = TimePoint::max();  ///< after it the call must not start
  bool asynchronous = false;
  std::size_t input_bytes = 0;
  bool again = false;                ///< it was placed before, in a container that had died
  std::shared_ptr<Mailbox> mailbox;  ///< told when its ticket is settled; never null
};

/// A place in the queue. Its mailbox is posted when the scheduler has settled it; then, or when `deadline`
/// has come or the caller has gone, its holder calls `Scheduler::leave`.
struct Ticket {
  TicketId id = 0;
  TimePoint deadline{};
  TimePoint since{};  ///< when the wait began
};
/// Hand the call to that peer; if it provably did not start there, `arrive` again from choice `next`.
struct Offload {
  Peer peer;
  std::size_t next = 0;
};
/// The call is refused. `error.detail` is a word for statistics: deadline, queue_full, memory, cores, policy,
/// closed, unknown, queue_timeout.
struct Rejected {
  Error error;
};

using Placement = std::variant<Lease, Ticket, Offload, Rejected>;
/// What became of a ticket: nothing yet (the call no longer waits), a lease, or a refusal.
using Left = std::variant<std::monostate, Lease, Rejected>;

/// What the caller must do after a call of the scheduler, outside its lock.
struct Effects {
  std::vector<std::shared_ptr<Mailbox>> posts;  ///< to post
  std::vector<Discarded> discarded;             ///< to destroy, then report by `destroyed`
};

/// What a call gave, as far as the scheduler learns from it.
struct Settlement {
  bool executed = true;  ///< the function was run
  bool doomed = false;   ///< the container must not be used again
  Duration duration{0};
  std::size_t output_bytes = 0;
};

struct SchedulerOptions {
  std::size_t queue_capacity = 0;                     ///< synchronous calls that may wait for resources
  Duration queue_timeout = std::chrono::seconds(30);  ///< longest wait
};

/// Decides who gets which container when. A machine like the pool that it owns: no I/O, no thread; the owner
/// serialises the calls and carries out the `Effects`. Waiting calls are ordered by class, then synchronous
/// before asynchronous, then deadline, then arrival, per function; a function whose first waiter does not fit
/// blocks no other.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  /// Places a call by the first of its choices, from `first`, that is possible now. A function that was never
  /// announced by `function_changed` is unknown (kNotFound).
  virtual Placement arrive(const Arrival& arrival, const Decision& decision, std::size_t first, TimePoint now,
                           Effects& effects) = 0;
  /// Ends a ticket: what it was settled with, or nothing.
  virtual Left leave(TicketId ticket, TimePoint now, Effects& effects) = 0;
  /// The holder of a cold lease has started its container.
  virtual void started(Lease& lease, std::shared_ptr<Container> container, Duration init_time, TimePoint now,
                       Effects& effects) = 0;
  /// The holder of a lease is done with it; every waiter that now fits is placed.
  virtual void finish(Lease&& lease, const Settlement& settlement, TimePoint now, Effects& effects) = 0;
  /// A lease was destroyed without `finish`.
  virtual void lost(ContainerId container, int slot, TimePoint now, Effects& effects) = 0;
  /// A discarded container is gone.
  virtual void destroyed(ContainerId container, TimePoint now, Effects& effects) = 0;
  /// The current record of a function, or null if it was deleted. Containers of older records go; waiters get
  /// the new.
  virtual void function_changed(std::string_view name, const FunctionPtr& current, TimePoint now,
                                Effects& effects) = 0;
  /// Reserves a container beforehand: a cold lease, to be started and finished with `executed` false.
  virtual Placement prewarm(std::string_view function, TimePoint now, Effects& effects) = 0;
  /// Charges one more instance of the stock, if the plan's runtime has functions, fewer than its target are
  /// charged, and nobody who waits needs the memory.
  virtual std::optional<ContainerId> reserve_stock(const StockPlan& plan) = 0;
  /// That instance has been made, or could not be. False if it was made and is no longer wanted: drop it.
  virtual bool stock_made(ContainerId id, bool made, TimePoint now, Effects& effects) = 0;
  /// Ends what has outlived its time: tickets and idle containers. Call it about once a second.
  virtual void tick(TimePoint now, Effects& effects) = 0;
  /// Refuses every further arrival and every waiting call.
  virtual void close(Effects& effects) = 0;
  /// Gives up all containers, for the end of the node.
  virtual void retire_all(Effects& effects) = 0;

  virtual ContainerPool& pool() = 0;
  virtual const ContainerPool& pool() const = 0;
  /// Totals with the queue, and what concerns one function.
  virtual PoolView view(std::string_view function) const = 0;
  virtual FunctionEstimate estimate(std::string_view function) const = 0;
  /// Calls that wait, of all kinds.
  virtual std::size_t waiting() const = 0;
};

/// The shipped scheduler.
std::unique_ptr<Scheduler> make_scheduler(const SchedulerOptions& options,
                                          std::unique_ptr<ContainerPool> pool);

}  // namespace serverledge
