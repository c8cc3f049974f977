#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/container_runtime.hpp"
#include "serverledge/core/function_registry.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/runtime/node_lock.hpp"

namespace serverledge {

/// How the sandbox runtime is set up. Paths are absolute.
struct SandboxOptions {
  std::string libexec;  ///< holds serverledge-launcher; empty: ../libexec/serverledge beside us
  std::string code;     ///< where the CodeArchive keeps its folders
  std::string python = "/usr/bin/python3";  ///< empty: serve no Python
  std::string node = "/usr/bin/node";       ///< empty: serve no JavaScript
  bool host_network = false;                ///< the machine's network instead of a loopback of its own
  bool unsafe = false;                      ///< go on where isolation is missing
  std::uint64_t tmp_bytes = std::uint64_t{64} << 20U;  ///< size of an instance's /tmp, and of a file
  std::int64_t processes = 64;  ///< processes and threads of an instance, besides one for each slot
  std::uint64_t output_bytes = std::uint64_t{1} << 20U;  ///< captured output of a call
  std::uint64_t result_bytes = std::uint64_t{6} << 20U;  ///< JSON text of a result
  int python_stock = 2;                                  ///< unspecialised Python instances to keep
  int nodejs_stock = 2;                                  ///< unspecialised Node.js instances to keep
  std::int64_t stock_memory_mb = 64;                     ///< what the pool charges for one
  Duration start_timeout = std::chrono::seconds(30);     ///< for the runtime's own start
};

/// The embedded runtime: every instance is a process in namespaces, a control group and a root of its own
/// (see docs/sandbox.md). Starts the launcher and what serves each language, tries both, and says by
/// `notices()` what this machine lacks. Removes what earlier nodes of this machine left behind, as far as
/// their locks (see NodeLock) are free.
///
/// kUnsupported with the missing right and the ways on if functions cannot be isolated here; kUnavailable if
/// a program is missing or does not start. `lock`, `archive`, `code`, `observer` and `clock` must outlive the
/// runtime and all its containers. At most one runtime may use a lock at a time.
Result<std::unique_ptr<ContainerRuntime>> make_sandbox_runtime(const SandboxOptions& options,
                                                               const NodeLock& lock, CodeArchive& archive,
                                                               CodeSource& code, Observer& observer,
                                                               Clock& clock);

}  // namespace serverledge
