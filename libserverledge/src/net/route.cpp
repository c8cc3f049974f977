#include "serverledge/net/route.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "net/file_descriptor.hpp"
#include "net/socket.hpp"

namespace serverledge {
namespace {

std::string text_of(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text.data(), text.size());
  } else if (address.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, text.data(), text.size());
  }
  return text.data();
}

}  // namespace

Result<std::string> address_towards(const std::string& host) {
  // Any port will do: connecting a datagram socket only asks the routing table.
  constexpr int kAnyPort = 9;
  const Result<AddressList> addresses = resolve(host, kAnyPort, SOCK_DGRAM, 0);
  if (!addresses) return Unexpected(ErrorCode::kUnavailable, addresses.error().message);
  int error = EHOSTUNREACH;
  for (const addrinfo* address = addresses->get(); address != nullptr; address = address->ai_next) {
    const FileDescriptor fd(socket(address->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_storage own{};
    socklen_t size = sizeof(own);
    if (fd.valid() && connect(fd.get(), address->ai_addr, address->ai_addrlen) == 0 &&
        getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own), &size) == 0) {
      return text_of(own);
    }
    error = errno;
  }
  return Unexpected(ErrorCode::kUnavailable,
                    fmt::format("no route to {}: {}", host, std::generic_category().message(error)));
}

bool is_loopback(const std::string& address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.");
}

}  // namespace serverledge
