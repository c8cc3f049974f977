#include "runtime/docker/frame_upgrade.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "net/http_head.hpp"
#include "net/socket.hpp"

namespace serverledge {
namespace {

constexpr std::string_view kProtocol = "serverledge-frames";
constexpr std::size_t kHeadMax = 4096;

Unexpected ended(int error) {
  return {ErrorCode::kUnavailable, "the connection broke: " + std::generic_category().message(error)};
}

/// Takes no byte from the connection that follows the head: that is no longer HTTP.
Result<std::string> read_head(FrameConnection& connection, TimePoint deadline) {
  std::string head;
  std::array<char, 512> seen{};
  HeadScanner scanner;
  auto found = HeadScanner::Found::kNotYet;
  while (found == HeadScanner::Found::kNotYet) {
    if (Result<void> waited = connection.wait(POLLIN, deadline); !waited)
      return Unexpected(std::move(waited).error());
    const ssize_t got = ::recv(connection.fd(), seen.data(), seen.size(), MSG_PEEK | MSG_DONTWAIT);
    if (got == 0) return Unexpected(ErrorCode::kUnavailable, "the connection ended");
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got < 0) return ended(errno);
    const std::size_t before = head.size();
    head.append(seen.data(), static_cast<std::size_t>(got));
    found = scanner.scan(head);
    if (found == HeadScanner::Found::kMalformed)
      return Unexpected(ErrorCode::kInvalid, fmt::format("malformed answer: {}", scanner.defect()));
    if (found == HeadScanner::Found::kWhole) head.resize(scanner.size());
    if (head.size() > kHeadMax) return Unexpected(ErrorCode::kInvalid, "headers that are too long");
    if (::recv(connection.fd(), seen.data(), head.size() - before, MSG_DONTWAIT) < 0) return ended(errno);
  }
  return head;
}

}  // namespace

Result<void> check_upgrade(std::string_view head) {
  constexpr std::string_view kGoesOver = "HTTP/1.1 101 ";
  HttpHeaders headers;
  const std::size_t line = head.find("\r\n");
  const Defect defect =
      line == std::string_view::npos ? "no line" : parse_header_lines(head.substr(line + 2), headers);
  if (defect != nullptr) return Unexpected(ErrorCode::kInvalid, fmt::format("malformed answer: {}", defect));
  const std::string* protocol = headers.find("Upgrade");
  if (head.starts_with(kGoesOver) && protocol != nullptr && equals_ignoring_case(*protocol, kProtocol))
    return {};
  return Unexpected(ErrorCode::kInvalid, fmt::format("the executor does not go over to {}", kProtocol));
}

Result<FrameConnection> upgrade_to_frames(const HttpTarget& executor, FrameLimits limits, int end_fd,
                                          TimePoint deadline, Clock& clock) {
  Result<FileDescriptor> connected = connect_tcp(executor.host, executor.port, deadline, end_fd, clock);
  if (!connected) {
    Error& error = connected.error();
    // Of its own end the container's owner will tell more.
    if (error.code != ErrorCode::kDeadline) error.code = ErrorCode::kUnavailable;
    return Unexpected(std::move(error));
  }
  const std::string request =
      fmt::format("GET /frames HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: {}\r\n\r\n",
                  executor.name(), kProtocol);
  FrameConnection connection(std::move(*connected), limits, end_fd);
  // A new connection has room for so little.
  if (::send(connection.fd(), request.data(), request.size(), MSG_NOSIGNAL | MSG_DONTWAIT) !=
      static_cast<ssize_t>(request.size())) {
    return ended(errno);
  }
  const Result<std::string> head = read_head(connection, deadline);
  if (!head) return Unexpected(head.error());
  if (Result<void> upgraded = check_upgrade(*head); !upgraded) return Unexpected(std::move(upgraded).error());
  return connection;
}

}  // namespace serverledge
