#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <string>

#include "net/file_descriptor.hpp"
#include "net/request_reader.hpp"
#include "net/route_table.hpp"
#include "serverledge/core/clock.hpp"

namespace serverledge {

class ConnectionTable;

/// One accepted connection. At any time at most one thread owns it (see ConnectionTable) and may touch what
/// is not said to be atomic. The object outlives the connection and serves later ones.
class Connection {
 public:
  enum class Read { kSome, kNothing, kEnd };
  enum class Flush { kDone, kBlocked, kBroken };

  Connection(std::uint32_t index, const RequestReader::Limits& limits, BodyBudget& budget)
      : reader(limits, budget), index_(index) {}

  /// Receives once, without blocking. kEnd: the peer has closed or the connection is broken.
  Read read();
  /// Receives and drops, once.
  Read discard();
  /// Whether bytes of the peer wait to be received.
  bool has_unread() const;
  /// Sends what is to be sent, as far as it goes without blocking.
  Flush flush();
  /// Forgets output and state, for the next connection.
  void clear();
  /// Ends our side, so that the peer sees the end of what was sent.
  void shut() noexcept;

  bool has_output() const noexcept { return sent_ < head.size() + body.size(); }
  /// The peer has hung up; there may still be bytes of it to be read.
  bool gone() const noexcept { return (state_.load(std::memory_order_acquire) & kGone) != 0; }
  bool open() const noexcept { return (state_.load(std::memory_order_acquire) & kOpen) != 0; }
  /// Whether it is open, nobody owns it, and no request has begun.
  bool at_rest() const noexcept {
    return (state_.load(std::memory_order_acquire) & (kOpen | kOwned)) == kOpen &&
           idle.load(std::memory_order_relaxed);
  }
  std::stop_token gone_token() const { return gone_source_.get_token(); }
  const std::string& address() const noexcept { return address_; }

  /// When the connection is to be given up if nothing happens to it; read by others.
  TimePoint deadline() const noexcept {
    return TimePoint(Duration(deadline_.load(std::memory_order_relaxed)));
  }
  void set_deadline(TimePoint at) noexcept {
    deadline_.store(at.time_since_epoch().count(), std::memory_order_relaxed);
  }
  /// Whether no request has begun, as of when the connection was last released; read by others.
  std::atomic<bool> idle{true};

  RequestReader reader;
  RouteTable::Match match;  ///< of the request being read
  TimePoint body_since{};   ///< when its head was whole
  std::string head;         ///< to be sent, and then the body
  std::string body;
  bool exhausted = false;  ///< there was nothing left to be received; what comes is announced by an event
  bool closing = false;    ///< close once the output is sent
  bool untidy = false;     ///< ... but the peer may still be sending: see `lingering`
  bool lingering = false;  ///< sent all; reads on so that the peer gets the answer instead of a reset
  bool writable_watched = false;

 private:
  friend class ConnectionTable;

  // The word that decides who owns the connection: generation << 32 | flags. The generation is that of the
  // descriptor: an event that was reported for an earlier one is known by it.
  static constexpr std::uint64_t kOwned = 1;
  static constexpr std::uint64_t kNews = 2;  ///< an event came while it was owned
  static constexpr std::uint64_t kGone = 4;
  static constexpr std::uint64_t kOpen = 8;

  std::atomic<std::uint64_t> state_{0};
  std::atomic<Duration::rep> deadline_{Duration::max().count()};
  const std::uint32_t index_;
  std::size_t sent_ = 0;
  std::string address_;
  std::mutex identity_;  // guards fd_ and gone_source_ against those who do not own the connection
  FileDescriptor fd_;
  std::stop_source gone_source_{std::nostopstate};
};

}  // namespace serverledge
