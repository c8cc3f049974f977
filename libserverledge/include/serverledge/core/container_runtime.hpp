#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/function.hpp"
#include "serverledge/core/invocation.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// One call into a container.
struct Call {
  std::string_view id;      ///< request id, for the function's context
  std::string_view params;  ///< one JSON object
  bool return_output = false;
  TimePoint deadline = TimePoint::max();
  std::string_view traceparent;  ///< W3C trace context; may be empty
  std::string_view tracestate;
  int slot = 0;  ///< which of the container's MaxConcurrency slots the caller holds, from 0
};

/// What a call gave.
struct Reply {
  std::string result;  ///< JSON text (any UTF-8 string from a custom image)
  std::optional<Failure> failure;
  std::string output;   ///< captured output, when asked for
  bool doomed = false;  ///< the container must not be used again (timeout, death, protocol, limit)
};

/// A running instance of one function.
/// Thread-safe in this sense: `invoke` may run from up to MaxConcurrency threads at once, each with a slot of
/// its own; `destroy` may be called once from any thread, also while calls run (which then return a failure).
class Container {
 public:
  virtual ~Container() = default;
  /// Runs the function once and waits for its answer, until `call.deadline` at most. Never throws; what fails
  /// is in the reply.
  virtual Reply invoke(const Call& call) = 0;
  /// Kills the container and gives back all it held; returns when that is done. Idempotent; the destructor
  /// calls it.
  virtual void destroy() noexcept = 0;
  /// Whether it is known to have died while idle. Cheap: no system call is owed.
  virtual bool alive() const noexcept { return true; }
};

/// Unspecialised instances that a runtime keeps started so that a cold start of a language that cannot fork
/// is short. The container pool charges them and evicts them first.
struct StockPlan {
  std::string runtime;         ///< canonical runtime they serve
  std::int64_t memory_mb = 0;  ///< charge of one
  int target = 0;              ///< how many to keep
};

/// Makes containers. Thread-safe. Implementations: the sandbox, Docker, one that routes between them.
class ContainerRuntime {
 public:
  virtual ~ContainerRuntime() = default;

  /// Starts a container for the function and returns when it is ready for calls; kFunctionFailed with the
  /// import error in `Error::detail` if the code does not load; kDeadline, kUnavailable, kNoResources
  /// otherwise.
  virtual Result<std::unique_ptr<Container>> create(const Function& function, TimePoint deadline) = 0;

  /// Does beforehand what a start would need (unpack code, pull the image) and starts nothing.
  virtual Result<void> prepare(const Function& function, bool force_pull, TimePoint deadline) = 0;

  /// Canonical names of the runtimes that it serves here, each with what serves it ("python314",
  /// "CPython 3.11.2").
  struct Served {
    std::string runtime;
    std::string description;
  };
  virtual std::vector<Served> runtimes() const = 0;
  bool serves(std::string_view runtime) const {
    for (const Served& served : runtimes()) {
      if (served.runtime == runtime) return true;
    }
    return false;
  }

  /// Architectures on which the function can run.
  virtual Result<std::vector<std::string>> architectures(const Function& function) = 0;

  /// Sentences for the operator, at start: what is missing on this machine and what still works.
  virtual std::vector<std::string> notices() const { return {}; }

  /// What stock it wants kept; empty if none.
  virtual std::vector<StockPlan> stock_plans() const { return {}; }
  /// How many unspecialised instances of that runtime stand ready now (`create` takes one).
  virtual int stock(std::string_view /*runtime*/) const { return 0; }
  /// Starts one more, blocking.
  virtual Result<void> add_stock(std::string_view /*runtime*/, TimePoint /*deadline*/) { return {}; }
  /// Destroys one; false if there is none.
  virtual bool drop_stock(std::string_view /*runtime*/) { return false; }

  /// Called by the node's upkeep about once a second, for a runtime that must watch what nothing else limits.
  /// Returns soon.
  virtual void watch() {}

  /// Kills everything it ever started and gives all back; blocked calls return. Idempotent.
  virtual void shutdown() noexcept = 0;
};

/// A function's code as bytes on their way to an instance. Implemented in `runtime` on libarchive.
/// Thread-safe.
class CodeArchive {
 public:
  virtual ~CodeArchive() = default;
  struct Checked {
    std::string
        digest;  ///< SHA-256 of the bytes, lower-case hex (of a single file: a mark of its name follows it)
    std::uint64_t packed_bytes = 0;
    std::uint64_t unpacked_bytes = 0;
  };
  /// Whether the bytes are a readable archive (tar, plain or gzip) or a single file, within the limits, with
  /// the module of `function.handler` inside (kInvalid naming what is missing, kTooLarge naming the limit).
  virtual Result<Checked> check(const Function& function, std::string_view bytes) = 0;
  /// Unpacks the bytes under their digest, once; the folder of that digest. kDiskFull if there is no space.
  virtual Result<std::string> unpack(const Function& function, std::string_view bytes) = 0;
  /// The folder of a digest that is unpacked already; nullopt if it is not here.
  virtual std::optional<std::string> folder(std::string_view digest) const = 0;
  /// Removes unpacked folders of code whose SHA-256 is not in `keep` and that no one has used for a while.
  virtual void collect(const std::vector<std::string>& keep) = 0;
};

}  // namespace serverledge
