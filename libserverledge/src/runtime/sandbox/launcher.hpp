#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "runtime/sandbox/launch_channel.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

struct LauncherOptions {
  std::string libexec;      ///< holds serverledge-launcher, libserverledge-isolation.so and the workers
  std::string mount_point;  ///< an empty folder of the node's
  std::string code;         ///< holds one folder per code archive
  std::string python;       ///< path of the interpreter
  std::vector<std::string> binds;  ///< folders outside the system's own that interpreters need
  std::uint32_t first_uid = 0;
  std::uint32_t uid_count = 1;
  bool rootless = false;
  bool host_network = false;
  std::vector<int> locks;  ///< descriptors that must stay locked until all that it started is dead
};

/// The processes that start instances: the launcher's PID 1 and, below it, the Python zygote. They are
/// started when first needed, and again when they died. All that they ever started dies with PID 1, and PID 1
/// with this object, or with the node's process. Thread-safe.
class Launcher {
 public:
  explicit Launcher(LauncherOptions options) : options_(std::move(options)) {}
  ~Launcher() { stop(); }
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  /// Starts PID 1 if it does not run. kUnsupported with what the machine refuses and what would help;
  /// kUnavailable.
  Result<void> start(TimePoint deadline);
  /// Starts the zygote too.
  Result<void> start_zygote(TimePoint deadline);

  /// Sends a request to whom its operation is for, started again if it has died. Answers come on the channel
  /// whose other end is the first descriptor.
  Result<void> request(const sl_request& request, std::span<const int> fds, TimePoint deadline);

  /// Whether the one that such requests are for is dead, after a request was lost: the next one will start
  /// another. Of a dying process the sockets close one after the other, so this waits for a moment.
  bool has_died(sl_operation operation);

  /// Ends PID 1 and everything below it, and waits for that, a few seconds at most. Final.
  void stop() noexcept;

  bool rootless() const { return options_.rootless; }

 private:
  using Channel = std::shared_ptr<LaunchChannel>;
  Result<Channel> control(TimePoint deadline);
  Result<Channel> zygote(TimePoint deadline);
  Result<void> spawn(int control) const;

  LauncherOptions options_;
  std::mutex mutex_;
  bool stopped_ = false;
  Channel control_;
  Channel zygote_;
};

}  // namespace serverledge
