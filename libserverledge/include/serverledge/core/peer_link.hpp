#pragma once

#include <string>

#include "serverledge/core/invocation.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// Another node, as a place to offload to.
struct Peer {
  std::string key;  ///< node key
  std::string area;
  std::string host;  ///< address or name
  int port = 0;      ///< of its HTTP API
  std::string arch;  ///< "amd64" or "arm64"
  bool operator==(const Peer&) const = default;
};

/// Carries an invocation to a peer and its answer back. Thread-safe.
class PeerLink {
 public:
  virtual ~PeerLink() = default;
  /// Forwards and waits until `deadline`. Errors: kNoResources or kNotFound (the peer refused) and
  /// kUnavailable (not sent): it did not start there; kUnknownOutcome: it may have run.
  virtual Result<ExecutionReport> forward(const Invocation& invocation, const Peer& peer,
                                          TimePoint deadline) = 0;
  /// Gives up what is under way, and what comes later: kUnknownOutcome. For a node that ends.
  virtual void shutdown() noexcept {}
};

}  // namespace serverledge
