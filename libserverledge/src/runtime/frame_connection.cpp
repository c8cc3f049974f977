#include "runtime/frame_connection.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <limits>
#include <optional>

namespace serverledge {
namespace {

constexpr std::size_t kFirstRead = std::size_t{16} << 10U;
constexpr std::size_t kKeep = std::size_t{64} << 10U;  // a buffer that a large answer left behind is let go
constexpr std::size_t kMaxReady = std::size_t{2} << 20U;

Unexpected ended(std::string message) { return {ErrorCode::kUnavailable, std::move(message)}; }
Unexpected out_of_time() { return {ErrorCode::kDeadline, "no answer in time"}; }

bool is_end(int error) { return error == EPIPE || error == ECONNRESET || error == ENOTCONN; }

// What is left until `deadline`; nullopt for ever.
std::optional<timespec> time_left(TimePoint deadline) {
  if (deadline == TimePoint::max()) return std::nullopt;
  const Duration left = std::max(deadline - system_clock().now(), Duration::zero());
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(left);
  return timespec{static_cast<time_t>(whole.count()), static_cast<long>((left - whole).count())};
}

iovec part(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

}  // namespace

Result<FrameConnection> FrameConnection::connect(const std::string& path, FrameLimits limits, int death_fd,
                                                 TimePoint deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Unexpected(ErrorCode::kInvalid, fmt::format("\"{}\" is too long for the path of a socket", path));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid())
    return Unexpected(ErrorCode::kInternal, fmt::format("socket: {}", std::strerror(errno)));
  // The kernel waits for a place in the listener's queue no longer than the time-out of sending.
  if (const auto left = time_left(deadline)) {
    const timeval most{left->tv_sec, std::max<suseconds_t>(left->tv_nsec / 1000, 1)};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
  }
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    if (errno == EAGAIN || errno == EINTR) return out_of_time();
    return ended(fmt::format("cannot connect to {}: {}", path, std::strerror(errno)));
  }
  return FrameConnection(std::move(socket), limits, death_fd);
}

Result<void> FrameConnection::load(std::string_view what, TimePoint deadline) {
  const auto header = encode({static_cast<std::uint32_t>(what.size()), FrameType::kLoad, 0, 0});
  std::array<iovec, 2> parts{part({header.data(), header.size()}), part(what)};
  return send(parts, deadline);
}

Result<std::string> FrameConnection::ready(TimePoint deadline) {
  const Result<Frame> frame = receive(kMaxReady, deadline);
  if (!frame) return Unexpected(frame.error());
  return parse_ready(frame->header, frame->payload);
}

Result<CallAnswer> FrameConnection::call(const Call& call, TimePoint deadline) {
  const std::size_t length = 4 + call.context.size() + call.params.size();
  if (length > std::numeric_limits<std::uint32_t>::max()) {
    return Unexpected(ErrorCode::kTooLarge, "params that do not fit into a frame");
  }
  const auto header = encode({static_cast<std::uint32_t>(length), FrameType::kCall,
                              call.capture_output ? kFrameFlag : std::uint8_t{0}, call.id});
  const auto context_length = static_cast<std::uint32_t>(call.context.size());
  std::array<char, 4> size{};
  for (std::size_t byte = 0; byte < size.size(); ++byte)
    size[byte] = static_cast<char>(context_length >> (8 * byte));
  std::array<iovec, 4> parts{part({header.data(), header.size()}), part({size.data(), size.size()}),
                             part(call.context), part(call.params)};
  if (Result<void> sent = send(parts, deadline); !sent) return Unexpected(std::move(sent).error());
  const Result<Frame> frame = receive(max_payload(limits_), deadline);
  if (!frame) return Unexpected(frame.error());
  if (frame->header.id != call.id) {
    return Unexpected(ErrorCode::kInvalid, "an answer to another call");
  }
  Result<CallAnswer> answer = parse_answer(frame->header, frame->payload, call.capture_output, limits_);
  if (buffer_.size() > kKeep) std::string().swap(buffer_);
  return answer;
}

bool FrameConnection::clean() const noexcept {
  char byte = 0;
  return ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
}

Result<void> FrameConnection::check_clean() const {
  pollfd death{death_fd_, POLLIN, 0};
  if (clean() || ::poll(&death, 1, 0) == 1) return {};
  return Unexpected(ErrorCode::kInvalid, "something was written, or the channel closed, between two calls");
}

void FrameConnection::shut() noexcept { ::shutdown(socket_.get(), SHUT_RDWR); }

Result<void> FrameConnection::send(std::span<iovec> parts, TimePoint deadline) {
  while (!parts.empty()) {
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EAGAIN) {
      if (Result<void> waited = wait(POLLOUT, deadline); !waited) return waited;
    } else if (sent < 0 && errno != EINTR) {
      if (is_end(errno)) return ended("the instance closed its channel");
      return Unexpected(ErrorCode::kInternal, fmt::format("sendmsg: {}", std::strerror(errno)));
    }
    for (std::size_t done = sent < 0 ? 0 : static_cast<std::size_t>(sent); !parts.empty();) {
      iovec& first = parts.front();
      const std::size_t taken = std::min(done, first.iov_len);
      first.iov_base = static_cast<char*>(first.iov_base) + taken;
      first.iov_len -= taken;
      done -= taken;
      if (first.iov_len > 0) break;
      parts = parts.subspan(1);
    }
  }
  return {};
}

Result<FrameConnection::Frame> FrameConnection::receive(std::size_t longest, TimePoint deadline) {
  if (buffer_.size() < kFirstRead) buffer_.resize(kFirstRead);
  std::size_t have = 0;
  while (have < kFrameHeaderSize) {
    const Result<std::size_t> got = read_some(have, deadline);
    if (!got) return Unexpected(got.error());
    have += *got;
  }
  const Result<FrameHeader> header =
      decode_frame_header(std::string_view(buffer_).substr(0, kFrameHeaderSize));
  if (!header) return Unexpected(header.error());
  if (header->length > longest) {
    return Unexpected(ErrorCode::kInvalid,
                      fmt::format("a frame of {} bytes, over the limit of {}", header->length, longest));
  }
  const std::size_t whole = kFrameHeaderSize + header->length;
  if (buffer_.size() < whole) buffer_.resize(whole);
  while (have < whole) {
    const Result<std::size_t> got = read_some(have, deadline);
    if (!got) return Unexpected(got.error());
    have += *got;
  }
  if (have > whole) return Unexpected(ErrorCode::kInvalid, "bytes after the answer");
  return Frame{*header, std::string_view(buffer_).substr(kFrameHeaderSize, header->length)};
}

Result<std::size_t> FrameConnection::read_some(std::size_t have, TimePoint deadline) {
  while (true) {
    if (Result<void> waited = wait(POLLIN, deadline); !waited) return Unexpected(std::move(waited).error());
    const ssize_t got = ::recv(socket_.get(), buffer_.data() + have, buffer_.size() - have, MSG_DONTWAIT);
    if (got > 0) return static_cast<std::size_t>(got);
    if (got == 0 || is_end(errno)) return ended("the instance closed its channel");
    if (errno != EAGAIN && errno != EINTR) {
      return Unexpected(ErrorCode::kInternal, fmt::format("recv: {}", std::strerror(errno)));
    }
  }
}

Result<void> FrameConnection::wait(short events, TimePoint deadline) {
  std::array<pollfd, 2> watched{pollfd{socket_.get(), events, 0}, pollfd{death_fd_, POLLIN, 0}};
  while (true) {
    const std::optional<timespec> left = time_left(deadline);
    const int ready = ::ppoll(watched.data(), watched.size(), left ? &*left : nullptr, nullptr);
    if (ready < 0 && errno != EINTR) {
      return Unexpected(ErrorCode::kInternal, fmt::format("ppoll: {}", std::strerror(errno)));
    }
    if (ready == 0) return out_of_time();
    if (ready > 0 && watched[0].revents != 0) return {};
    if (ready > 0) return ended("the instance has ended");
  }
}

}  // namespace serverledge
