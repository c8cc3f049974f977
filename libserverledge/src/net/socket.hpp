#pragma once

#include <netdb.h>
#include <sys/socket.h>

#include <memory>
#include <string>

#include "net/file_descriptor.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// Every socket made here is non-blocking, closed on exec, and (TCP) without Nagle's delay.

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;
/// The addresses of a host, by name or address, for sockets of that type; "localhost" is known without
/// asking. kInvalid: there is none; kUnavailable: that cannot be known now.
Result<AddressList> resolve(const std::string& host, int port, int type, int flags);

/// Listens at an address or name of this host. kInvalid: no such address; kUnavailable: it cannot be had now.
Result<FileDescriptor> listen_tcp(const std::string& address, int port);
/// Listens on a Unix socket. A socket file that nobody listens on any more is replaced.
Result<FileDescriptor> listen_unix(const std::string& path);
/// The port that a TCP socket is bound to.
int local_port(const FileDescriptor& socket);

/// Connects before `deadline`, or gives up when `cancel` (a descriptor, or -1) becomes readable.
/// kUnavailable, kDeadline, kCancelled, kInvalid (no such path or name).
Result<FileDescriptor> connect_tcp(const std::string& host, int port, TimePoint deadline, int cancel,
                                   Clock& clock);
Result<FileDescriptor> connect_unix(const std::string& path, TimePoint deadline, int cancel, Clock& clock);

/// Accepts one connection and says from where ("192.0.2.7:51312"; empty: Unix). Not valid: see errno.
FileDescriptor accept_from(const FileDescriptor& listener, std::string& from);

/// "192.0.2.7:1323" or "[::1]:1323".
std::string host_and_port(const std::string& host, int port);

/// What poll() wants: milliseconds until then, rounded up, at least 0 and at most a minute.
int poll_milliseconds(TimePoint until, TimePoint now);

}  // namespace serverledge
