#include "net/socket.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace serverledge {

namespace {

constexpr int kBacklog = 4096;
constexpr int kSocketFlags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

std::string error_text(int error) { return std::generic_category().message(error); }

void set_option(int fd, int level, int name, int value) {
  setsockopt(fd, level, name, &value, sizeof(value));
}

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return Unexpected(ErrorCode::kInvalid,
                      fmt::format("the path of a Unix socket must have 1 to {} characters: {}",
                                  sizeof(address.sun_path) - 1, path));
  }
  path.copy(address.sun_path, path.size());
  return address;
}

// Removes a socket file that nobody listens on. False: it is in use, or no socket.
bool remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const FileDescriptor probe(socket(AF_UNIX, kSocketFlags, 0));
  const bool refused =
      connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 &&
      errno == ECONNREFUSED;
  return refused && unlink(path.c_str()) == 0;
}

// Waits for a connect() in progress.
Result<void> wait_connected(int fd, TimePoint deadline, int cancel, Clock& clock) {
  std::array<pollfd, 2> waits{pollfd{fd, POLLOUT, 0}, pollfd{cancel, POLLIN, 0}};
  while (true) {
    const TimePoint now = clock.now();
    if (now >= deadline) return Unexpected(ErrorCode::kDeadline, "no connection in time");
    const int ready = poll(waits.data(), waits.size(), poll_milliseconds(deadline, now));
    if (ready < 0 && errno != EINTR) return Unexpected(ErrorCode::kUnavailable, error_text(errno));
    if (ready <= 0) continue;
    if (waits[1].revents != 0) return Unexpected(ErrorCode::kCancelled, "given up by the caller");
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return Unexpected(ErrorCode::kUnavailable, error_text(error));
    return {};
  }
}

// A peer whose machine has gone says nothing: what is not acknowledged in this time, or keeps silent to
// probes, is broken. A peer that is only slow acknowledges.
void notice_dead_peer(int fd) {
  constexpr int kSilence = 10;  // seconds
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kSilence * 1000);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, kSilence / 2);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, kSilence / 2);
}

Result<FileDescriptor> connect_address(const sockaddr* address, socklen_t size, TimePoint deadline,
                                       int cancel, Clock& clock) {
  FileDescriptor fd(socket(address->sa_family, kSocketFlags, 0));
  if (!fd.valid()) return Unexpected(ErrorCode::kUnavailable, error_text(errno));
  if (address->sa_family != AF_UNIX) {
    set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    notice_dead_peer(fd.get());
  }
  if (connect(fd.get(), address, size) == 0) return fd;
  if (errno != EINPROGRESS && errno != EINTR) return Unexpected(ErrorCode::kUnavailable, error_text(errno));
  auto connected = wait_connected(fd.get(), deadline, cancel, clock);
  if (!connected) return Unexpected(std::move(connected).error());
  return fd;
}

Result<FileDescriptor> listen_at(const addrinfo& address) {
  FileDescriptor fd(socket(address.ai_family, kSocketFlags, 0));
  if (!fd.valid()) return Unexpected(ErrorCode::kUnavailable, error_text(errno));
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);  // inherited by what is accepted
  if (address.ai_family == AF_INET6) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (bind(fd.get(), address.ai_addr, address.ai_addrlen) != 0 || listen(fd.get(), kBacklog) != 0) {
    return Unexpected(ErrorCode::kUnavailable, error_text(errno));
  }
  return fd;
}

}  // namespace

Result<AddressList> resolve(const std::string& host, int port, int type, int flags) {
  if (port < 0 || port > 65535) return Unexpected(ErrorCode::kInvalid, fmt::format("{} is no port", port));
  // A resolver may take its time.
  const std::string node = host == "localhost" ? "127.0.0.1" : host;
  addrinfo hints{};
  hints.ai_socktype = type;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failed = getaddrinfo(node.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failed == 0) return AddressList(found, &freeaddrinfo);
  const ErrorCode code = failed == EAI_AGAIN ? ErrorCode::kUnavailable : ErrorCode::kInvalid;
  return Unexpected(code, fmt::format("no address for host {}: {}", host, gai_strerror(failed)));
}

Result<FileDescriptor> listen_tcp(const std::string& address, int port) {
  auto addresses = resolve(address, port, SOCK_STREAM, AI_PASSIVE);
  if (!addresses) return Unexpected(std::move(addresses).error());
  auto listener = listen_at(**addresses);
  if (listener) return listener;
  return Unexpected(
      listener.error().code,
      fmt::format("cannot listen on {}: {}", host_and_port(address, port), listener.error().message));
}

Result<FileDescriptor> listen_unix(const std::string& path) {
  const auto address = unix_address(path);
  if (!address) return Unexpected(address.error());
  FileDescriptor fd(socket(AF_UNIX, kSocketFlags, 0));
  const auto try_bind = [&] {
    return fd.valid() && bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) == 0;
  };
  const bool bound = try_bind() || (errno == EADDRINUSE && remove_stale(path, *address) && try_bind());
  if (!bound || listen(fd.get(), kBacklog) != 0) {
    return Unexpected(ErrorCode::kUnavailable,
                      fmt::format("cannot listen on {}: {}", path, error_text(errno)));
  }
  return fd;
}

int local_port(const FileDescriptor& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  return 0;
}

Result<FileDescriptor> connect_tcp(const std::string& host, int port, TimePoint deadline, int cancel,
                                   Clock& clock) {
  auto addresses = resolve(host, port, SOCK_STREAM, AI_ADDRCONFIG);
  if (!addresses) return Unexpected(std::move(addresses).error());
  Error last{ErrorCode::kUnavailable, "no address", {}};
  for (const addrinfo* address = addresses->get(); address != nullptr; address = address->ai_next) {
    auto connected = connect_address(address->ai_addr, address->ai_addrlen, deadline, cancel, clock);
    if (connected) return connected;
    last = std::move(connected).error();
    if (last.code != ErrorCode::kUnavailable) break;
  }
  return Unexpected(std::move(last));
}

Result<FileDescriptor> connect_unix(const std::string& path, TimePoint deadline, int cancel, Clock& clock) {
  const auto address = unix_address(path);
  if (!address) return Unexpected(address.error());
  return connect_address(reinterpret_cast<const sockaddr*>(&*address), sizeof(*address), deadline, cancel,
                         clock);
}

FileDescriptor accept_from(const FileDescriptor& listener, std::string& from) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  FileDescriptor fd(
      accept4(listener.get(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
  from.clear();
  if (!fd.valid()) return fd;
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    from = host_and_port(text.data(), ntohs(v4.sin_port));
  } else if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    from = host_and_port(text.data(), ntohs(v6.sin6_port));
  }
  return fd;
}

std::string host_and_port(const std::string& host, int port) {
  const bool v6 = host.find(':') != std::string::npos;
  std::string name;
  name.reserve(host.size() + 8);
  name.append(v6 ? "[" : "").append(host).append(v6 ? "]:" : ":");
  return name.append(fmt::format_int(port).c_str());
}

int poll_milliseconds(TimePoint until, TimePoint now) {
  constexpr Duration kMinute = std::chrono::minutes(1);
  const Duration left = until <= now ? Duration::zero() : until - now < kMinute ? until - now : kMinute;
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count());
}

}  // namespace serverledge
