#pragma once

#include <netdb.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "response_reader.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge::bench {

/// Addresses of a host and port, resolved once for all connections.
class Address {
 public:
  static Result<Address> resolve(const std::string& host, int port);
  const addrinfo* list() const { return list_.get(); }  ///< the best one first

 private:
  explicit Address(addrinfo* list) : list_(list, freeaddrinfo) {}
  std::shared_ptr<addrinfo> list_;
};

/// One kept-alive connection with one request on it at a time. Not thread-safe.
class Connection {
 public:
  enum class State {
    kIdle,     ///< no request
    kConnect,  ///< not connected yet
    kSend,     ///< not all of the request has been taken by the socket
    kWait,     ///< the answer is not whole yet
    kDone,     ///< the answer is whole
    kFailed,   ///< see error()
  };

  /// `address` outlives the connection. A blocking one waits in `advance`, another leaves that to its owner.
  Connection(const Address& address, bool blocking) : address_(address), blocking_(blocking) {}
  ~Connection() { close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Begins the next request, connecting first if need be: the time of connecting is the request's. `request`
  /// are all its bytes, which stay until it has ended.
  void start(std::string_view request);
  /// Takes the next step. A blocking connection takes them all, but returns unfinished after a tenth of a
  /// second without news, so that its owner can look at the time.
  State advance();
  /// Gives the request up.
  void give_up(const char* error);
  /// Closes the connection between two requests.
  void retire();

  State state() const { return state_; }
  bool under_way() const {
    return state_ == State::kConnect || state_ == State::kSend || state_ == State::kWait;
  }
  bool wants_to_send() const { return state_ == State::kConnect || state_ == State::kSend; }
  int socket() const { return socket_; }
  std::uint64_t sockets() const { return sockets_; }  ///< how many it has had so far
  const ResponseReader& answer() const { return reader_; }
  const char* error() const { return error_; }  ///< a fixed word: "connect", "timeout", "closed", "malformed"

 private:
  void connect();
  bool connect_to(const addrinfo& to);
  void connected();
  void close();
  void finish_connecting();
  void send_more();
  void receive_more();

  const Address& address_;
  bool blocking_;
  const addrinfo* next_address_ = nullptr;
  std::string_view request_;
  int socket_ = -1;
  std::uint64_t sockets_ = 0;
  std::size_t sent_ = 0;
  bool stalled_ = false;
  State state_ = State::kIdle;
  ResponseReader reader_;
  const char* error_ = "";
};

}  // namespace serverledge::bench
