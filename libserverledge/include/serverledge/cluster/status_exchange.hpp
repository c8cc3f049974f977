#pragma once

#include <functional>
#include <memory>
#include <string>

#include "serverledge/cluster/peer_table.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/core/status_report.hpp"

namespace serverledge {

struct StatusExchangeOptions {
  std::string address = "0.0.0.0";  ///< an IPv4 address of this host
  int port = 9876;                  ///< 0: any free one
};

/// Tells other nodes how this one is, and asks those of a PeerTable how they are, over UDP: a question is one
/// datagram
/// (`A`), its answer one datagram of 1024 bytes at most with the object of `/status`. One thread serves both;
/// a node that does not answer delays no other. IPv4 only, as the contract is. Thread-safe. The parts given
/// by reference must outlive it.
class StatusExchange {
 public:
  using Options = StatusExchangeOptions;
  /// `own` gives what is told; it is called by the exchange's thread, several times a second at most.
  StatusExchange(Options options, PeerTable& table, std::function<StatusReport()> own, Clock& clock,
                 Observer& observer);
  /// Stops.
  ~StatusExchange();
  StatusExchange(const StatusExchange&) = delete;
  StatusExchange& operator=(const StatusExchange&) = delete;

  /// Binds, starts the thread and returns the port. kUnavailable if it cannot be had; kInvalid: no such
  /// address.
  Result<int> start();
  /// Looks at the table anew: its members have changed.
  void wake();
  /// Ends the thread. Idempotent.
  void stop();

 private:
  class Machine;
  std::unique_ptr<Machine> machine_;
};

}  // namespace serverledge
