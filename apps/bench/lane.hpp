#pragma once

#include <optional>
#include <string>

#include "connection.hpp"
#include "load.hpp"
#include "tally.hpp"

namespace serverledge::bench {

/// A connection and the call on it. A cold call is up to three requests: its function is registered, called,
/// and removed; only the call is timed. Confined to one thread.
class Lane {
 public:
  /// `cold` is null in a warm load. All outlive the lane.
  Lane(const Load& load, const Address& address, ColdFunctions* cold, Tally& tally, bool blocking)
      : load_(load), cold_(cold), tally_(tally), connection_(address, blocking) {}

  /// Begins a call of that target; `due`: when it should have begun, if not now. True while it is under way:
  /// here and below, false says that it has ended, and is in the tally if it counts.
  bool begin(std::size_t target, std::optional<TimePoint> due, bool counts);
  bool advance();
  /// Gives up what has taken too long, if it has.
  bool look_at_time(TimePoint now);
  /// Ends it, without a word in the tally but that it was abandoned.
  void abandon();
  void retire() { connection_.retire(); }

  bool under_way() const { return under_way_; }
  bool refused() const;  ///< there was no connection for the last call
  const Connection& connection() const { return connection_; }

  // What an epoll has been told of the connection: which socket, and whether to wait until it can send.
  std::uint64_t watched_socket = 0;
  bool watched_sending = false;

 private:
  enum class Phase { kRegister, kCall, kRemove };
  void start();
  bool go_on();
  bool next_phase();
  void end_call();

  const Load& load_;
  ColdFunctions* cold_;
  Tally& tally_;
  Connection connection_;
  bool under_way_ = false;
  Phase phase_ = Phase::kCall;
  std::size_t target_ = 0;
  std::optional<TimePoint> due_;
  bool counts_ = true;
  TimePoint started_{};  // of the phase
  std::string function_;
  std::string request_;
};

}  // namespace serverledge::bench
