#pragma once

#include <string_view>

#include "runtime/frame_connection.hpp"
#include "serverledge/net/http_client.hpp"
#include "serverledge/net/http_message.hpp"

namespace serverledge {

/// Connects to an executor and has it go over from HTTP to frames (RFC 9110, section 7.8), which cost both
/// ends less. `end_fd`, not owned, is readable once the container has ended. kDeadline; kUnavailable: the
/// connection ended, or the container did; kInvalid: it does not go over.
Result<FrameConnection> upgrade_to_frames(const HttpTarget& executor, FrameLimits limits, int end_fd,
                                          TimePoint deadline, Clock& clock);

/// Reads the head of the executor's answer, with its blank line; kInvalid if it does not go over to frames.
Result<void> check_upgrade(std::string_view head);

}  // namespace serverledge
