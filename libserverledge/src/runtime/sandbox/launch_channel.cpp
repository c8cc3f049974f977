#include "runtime/sandbox/launch_channel.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <limits>

namespace serverledge {
namespace {

union ControlBuffer {
  cmsghdr header;
  char bytes[CMSG_SPACE(SL_MAX_FDS * sizeof(int))];
};

/// kDeadline when the time is up.
Result<void> wait(int fd, short events, TimePoint deadline) {
  for (;;) {
    const Duration left = deadline - system_clock().now();
    if (left <= Duration::zero()) return Unexpected(ErrorCode::kDeadline, "no answer in time");
    const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    pollfd ready{fd, events, 0};
    const int timeout = static_cast<int>(std::min<long long>(milliseconds, std::numeric_limits<int>::max()));
    const int count = ::poll(&ready, 1, timeout);
    if (count > 0) return {};
    if (count < 0 && errno != EINTR) return Unexpected(ErrorCode::kInternal, std::strerror(errno));
  }
}

std::vector<FileDescriptor> take_fds(msghdr& message) {
  std::vector<FileDescriptor> fds;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + (i * sizeof(int)), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

Result<std::pair<LaunchChannel, FileDescriptor>> LaunchChannel::make() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return Unexpected(ErrorCode::kUnavailable, std::string("cannot make a socket: ") + std::strerror(errno));
  }
  return std::pair(LaunchChannel(FileDescriptor(ends[0])), FileDescriptor(ends[1]));
}

Result<void> LaunchChannel::send(const sl_request& request, std::span<const int> fds,
                                 TimePoint deadline) const {
  iovec data{const_cast<sl_request*>(&request), sizeof(request)};
  ControlBuffer control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = CMSG_SPACE(fds.size_bytes());
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(fds.size_bytes());
  std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  for (;;) {
    if (::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return {};
    if (errno == EAGAIN) {
      if (Result<void> writable = wait(socket_.get(), POLLOUT, deadline); !writable) return writable;
    } else if (errno != EINTR) {
      return Unexpected(ErrorCode::kUnavailable, std::strerror(errno));
    }
  }
}

Result<LaunchEvent> LaunchChannel::receive(TimePoint deadline) const {
  LaunchEvent result;
  ControlBuffer control{};
  iovec data{&result.event, sizeof(result.event)};
  for (;;) {
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = &control;
    message.msg_controllen = sizeof(control);
    const ssize_t size = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) {
      if (Result<void> readable = wait(socket_.get(), POLLIN, deadline); !readable) {
        return Unexpected(readable.error());
      }
      continue;
    }
    if (size <= 0) return Unexpected(ErrorCode::kUnavailable, "it is gone");
    result.fds = take_fds(message);
    if (size != sizeof(result.event) || result.event.protocol != SL_PROTOCOL) {
      return Unexpected(ErrorCode::kInternal, "not of this version");
    }
    result.event.detail[sizeof(result.event.detail) - 1] = 0;
    return result;
  }
}

}  // namespace serverledge
