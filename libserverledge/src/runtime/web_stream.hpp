#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/file_descriptor.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// A connection to a web server, plain or by TLS, on which every wait ends at the deadline it was made with.
/// Errors: kDeadline; kUnavailable if the connection broke; kInvalid if the server does not prove to be who
/// it should be. Confined to one thread.
class WebStream {
 public:
  virtual ~WebStream() = default;
  virtual Result<void> send(std::string_view bytes) = 0;
  /// What has come, at least a byte; 0 at the end.
  virtual Result<std::size_t> receive(std::span<char> into) = 0;
};

/// Over a connected, non-blocking socket.
std::unique_ptr<WebStream> plain_stream(FileDescriptor socket, TimePoint deadline, Clock& clock);

/// Whom TLS trusts, and who we are to it: files in PEM.
struct TlsIdentity {
  std::string ca_file = {};           ///< authorities; empty: the system's
  std::string certificate_file = {};  ///< ours; empty: we show none
  std::string key_file = {};          ///< of that
};

/// The same by TLS 1.2 or later, after the handshake: the certificate must be valid for `host` (a name or
/// address) and come from an authority that is trusted.
Result<std::unique_ptr<WebStream>> tls_stream(FileDescriptor socket, const std::string& host,
                                              const TlsIdentity& identity, TimePoint deadline, Clock& clock);

}  // namespace serverledge
