#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "net/connection.hpp"

namespace serverledge {

/// The connections of a server and the epoll instances that tell of them. Thread-safe.
///
/// One thread at a time, the *leader*, is to wait for events (the pattern Leader/Followers of Schmidt et al.,
/// Pattern-Oriented Software Architecture, volume 2): were there several, a request that comes in two packets
/// would wake two. The others follow, and are woken by an event only while the lead is offered.
///
/// A connection is registered once, edge-triggered: that saves re-arming it, a system call per request, and
/// it goes on telling of a peer that hangs up while its request is being handled. In return an event may
/// reach a thread while another has the connection. So whoever takes an event has to *claim* the connection;
/// if it is owned, the event is noted and the owner's release() fails, upon which the owner looks again.
class ConnectionTable {
 public:
  /// Throws std::system_error if the kernel gives no epoll instance.
  ConnectionTable(std::size_t connections_max, const RequestReader::Limits& limits, BodyBudget& budget);
  /// Closes everything; nobody may own a connection any more.
  ~ConnectionTable();
  ConnectionTable(const ConnectionTable&) = delete;
  ConnectionTable& operator=(const ConnectionTable&) = delete;

  /// Whether no further connection can be added.
  bool full() const noexcept { return open_.load() >= slots_.size(); }
  std::size_t size() const noexcept { return open_.load(); }
  /// Takes over a socket; the caller owns the connection and releases it. nullptr, and the socket is closed,
  /// if there is no room for it, here or in the kernel.
  Connection* add(FileDescriptor fd, std::string address, TimePoint deadline);

  /// Waits for events, at most `milliseconds` (-1: for ever), and claims what they are about. Returns how
  /// many connections the caller now owns.
  std::size_t wait(std::span<Connection*> claimed, int milliseconds);
  /// Waits until there is an event while the lead is offered, at most `milliseconds`. True: there is, and
  /// only the caller was told, who should take the lead.
  bool follow(int milliseconds);
  /// Takes the lead; false: another has it.
  bool lead();
  /// Leaves the lead: the next event, or one that is there already, wakes a follower.
  void offer_lead();
  /// Is an event of its own: makes one wait() return.
  void wake_one();
  /// Makes every wait() and follow() return at once from now on.
  void wake_all();

  /// Claims a connection that is open and owned by nobody.
  bool claim(Connection& connection) noexcept;
  /// Gives it up. False, and it is still the caller's, if something has happened to it since it was claimed.
  bool release(Connection& connection) noexcept;
  /// Also wait for the peer to take output, or no more.
  void watch_writable(Connection& connection, bool writable);
  /// Closes it; the caller owns it.
  void close(Connection& connection);

  /// Calls `each` for every connection that may be open; none is claimed.
  void for_each(const std::function<void(Connection&)>& each);
  /// Ends both directions of every connection and fires their stop tokens.
  void hang_up_all();

 private:
  std::uint64_t event_data(const Connection& connection) const noexcept;
  Connection* take_event(std::uint64_t data, std::uint32_t events);
  static void fire_gone(Connection& connection, std::uint64_t generation);
  Connection* free_slot();

  FileDescriptor epoll_;
  FileDescriptor offer_;  // the followers' epoll instance: tells of the other one, once for every offer
  std::atomic<bool> led_{false};
  FileDescriptor one_;  // an event fd, edge-triggered
  FileDescriptor all_;  // an event fd, level-triggered
  const RequestReader::Limits& limits_;
  BodyBudget& budget_;
  std::atomic<std::size_t> open_{0};

  std::vector<std::atomic<Connection*>> slots_;  // filled from the front as needed
  std::mutex mutex_;                             // guards what follows
  std::vector<std::unique_ptr<Connection>> owned_;
  std::vector<Connection*> free_;
};

}  // namespace serverledge
