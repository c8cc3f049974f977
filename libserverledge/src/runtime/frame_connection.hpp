#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "net/file_descriptor.hpp"
#include "runtime/frame.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// The node's end of one slot of an instance: a Unix stream connection on which one call at a time is
/// answered. It never believes the other end: whatever is not exactly the answer awaited is an error, after
/// which the instance must not be used again.
///
/// Errors of `ready`, `load` and `call`: kDeadline: no whole answer in time. kUnavailable: the connection
/// ended, or `death_fd` became readable (its owner learns from it how the instance ended; if it did not, the
/// function closed its channel). kInvalid: the protocol was broken; the message says how. Confined to one
/// thread at a time.
class FrameConnection {
 public:
  struct Call {
    std::uint64_t id = 0;      ///< never used before on this connection
    std::string_view context;  ///< one JSON object
    std::string_view params;   ///< one JSON object
    bool capture_output = false;
  };

  /// Takes over a connected socket. `death_fd` (not owned, may be -1) is readable once the instance has
  /// ended.
  FrameConnection(FileDescriptor socket, FrameLimits limits, int death_fd = -1)
      : socket_(std::move(socket)), limits_(limits), death_fd_(death_fd) {}

  /// Connects to the listener at `path`. kUnavailable naming the path if nobody listens, kDeadline if its
  /// queue stays full, kInvalid if the path is too long for a socket.
  static Result<FrameConnection> connect(const std::string& path, FrameLimits limits, int death_fd,
                                         TimePoint deadline);

  /// Tells an unspecialised worker what to become (a JSON object); the first frame of the first connection.
  Result<void> load(std::string_view what, TimePoint deadline);
  /// Waits for the first frame: what serves the function. kFunctionFailed with the traceback as detail if the
  /// handler did not load.
  Result<std::string> ready(TimePoint deadline);
  /// Sends the call and waits for its answer.
  Result<CallAnswer> call(const Call& call, TimePoint deadline);

  /// Whether a call may be made: kInvalid if something has come since the last answer, or the channel was
  /// closed. An instance that has ended is the call's to tell.
  Result<void> check_clean() const;
  /// Waits for `events` on the socket. Prefers what is there to read over the news of a death.
  Result<void> wait(short events, TimePoint deadline);
  /// Whether nothing waits to be read and the other end is open, as it must be between calls. One system
  /// call.
  bool clean() const noexcept;
  /// Ends it for both sides. Thread-safe, also beside a call.
  void shut() noexcept;
  int fd() const noexcept { return socket_.get(); }

 private:
  struct Frame {
    FrameHeader header;
    std::string_view payload;  // in buffer_
  };
  Result<void> send(std::span<iovec> parts, TimePoint deadline);
  Result<Frame> receive(std::size_t longest, TimePoint deadline);
  /// Reads what is there, at least a byte, to the end of the first `have` bytes of the buffer.
  Result<std::size_t> read_some(std::size_t have, TimePoint deadline);

  FileDescriptor socket_;
  FrameLimits limits_;
  int death_fd_;
  std::string buffer_;  // of the last frame received
};

}  // namespace serverledge
