#pragma once

#include <stop_token>

#include "serverledge/cluster/peer_table.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/peer_link.hpp"
#include "serverledge/net/http_client.hpp"

namespace serverledge {

/// Forwards invocations to other nodes by POST /invoke on kept-alive connections, and tells the table what
/// they answer of their load. A peer has one second to take the connection. Its 404, 429 and 503 say that
/// nothing was started there; what it says of a function that failed is a report like any other. Thread-safe.
/// The parts must outlive it.
class HttpPeerLink final : public PeerLink {
 public:
  HttpPeerLink(HttpClient& client, PeerTable& table, Clock& clock)
      : client_(client), table_(table), clock_(clock) {}
  Result<ExecutionReport> forward(const Invocation& invocation, const Peer& peer,
                                  TimePoint deadline) override;
  void shutdown() noexcept override { ending_.request_stop(); }

 private:
  Result<HttpResponse> send(const Invocation& invocation, const Peer& peer, TimePoint deadline);

  HttpClient& client_;
  PeerTable& table_;
  Clock& clock_;
  std::stop_source ending_;
};

}  // namespace serverledge
