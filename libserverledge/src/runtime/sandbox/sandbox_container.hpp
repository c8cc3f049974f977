#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/frame_connection.hpp"
#include "runtime/sandbox/instance.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/container_runtime.hpp"

namespace serverledge {

/// An instance that has become one function. A connection per slot, made when the slot is first used.
class SandboxContainer final : public Container {
 public:
  SandboxContainer(const Function& function, std::unique_ptr<Instance> instance, FrameLimits limits,
                   Clock& clock);
  ~SandboxContainer() override;

  /// Connects the first slot, or takes one that is connected already, and waits until the function is loaded.
  Result<void> open(std::optional<FrameConnection> connection, TimePoint deadline);

  Reply invoke(const Call& call) override;
  void destroy() noexcept override;
  bool alive() const noexcept override;

 private:
  struct Slot {
    std::optional<FrameConnection> connection;
    std::uint64_t last_id = 0;
  };
  Result<void> connect(Slot& slot, TimePoint deadline);
  Reply answered(CallAnswer answer);
  Reply broken(const Error& error, TimePoint begin, const Call& call);
  Failure ended();
  /// What limit the function ran into, if it has just failed by itself; empty if none.
  std::string exceeded();

  const std::string function_;
  const std::int64_t memory_mb_;
  const FrameLimits limits_;
  Clock& clock_;
  const std::unique_ptr<Instance> instance_;
  std::vector<Slot> slots_;
  std::atomic<std::int64_t> seen_oom_kills_ = 0;
  std::atomic<bool> destroyed_ = false;
};

}  // namespace serverledge
