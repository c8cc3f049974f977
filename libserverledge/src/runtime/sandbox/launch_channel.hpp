#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "net/file_descriptor.hpp"
#include "runtime/sandbox/launch_protocol.h"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// One event with the descriptors that came with it.
struct LaunchEvent {
  sl_event event{};
  std::vector<FileDescriptor> fds;
};

/// The node's end of a socket of launch_protocol.h. Thread-safe: packets are sent and received whole.
class LaunchChannel {
 public:
  LaunchChannel() = default;
  explicit LaunchChannel(FileDescriptor socket) : socket_(std::move(socket)) {}
  /// Two connected ends: ours and the one to hand over. kUnavailable (out of descriptors).
  static Result<std::pair<LaunchChannel, FileDescriptor>> make();

  /// kUnavailable if the other end is gone, kDeadline if it does not read.
  Result<void> send(const sl_request& request, std::span<const int> fds, TimePoint deadline) const;
  /// kUnavailable at the end, kDeadline, kInternal for what is no event.
  Result<LaunchEvent> receive(TimePoint deadline) const;

  /// Readable when an event waits, or the other end is gone.
  int fd() const { return socket_.get(); }
  void close() { socket_.reset(); }

 private:
  FileDescriptor socket_;
};

/// The failure that an SL_FAILED event tells, with what the operator can do about it.
Error launch_error(const sl_event& event, bool rootless);
/// What an instance lacks, for each bit of `sl_event::missing`.
std::vector<std::string> missing_isolation(std::uint32_t missing);

}  // namespace serverledge
