#pragma once

#include <netdb.h>

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

/// One kept-alive connection with one request on it at a time, always the same one. Not thread-safe.
class Connection {
 public:
  enum class State {
    kIdle,    ///< no request
    kSend,    ///< not all of the request has been taken by the socket
    kWait,    ///< the answer is not whole yet
    kDone,    ///< the answer is whole
    kFailed,  ///< see error()
  };

  /// `request`: the bytes of the whole request; both outlive the connection. A blocking one waits in
  /// `advance` until its request is done; another leaves the waiting to its owner.
  Connection(const Address& address, std::string_view request, bool blocking, Duration timeout);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Begins the next request, connecting first if need be; the time of connecting is the request's. False if
  /// there is no connection: see error().
  bool start(TimePoint now);
  /// Takes the next step, a send or a receive; a blocking connection takes them all.
  State advance();
  /// Gives the request up.
  void give_up(const char* error);
  /// Closes the connection between two requests.
  void retire();

  State state() const { return state_; }
  int socket() const { return socket_; }
  bool fresh() const { return fresh_; }  ///< start() made a new socket
  TimePoint started() const { return started_; }
  const ResponseReader& answer() const { return reader_; }
  const char* error() const { return error_; }  ///< a fixed word: "connect", "timeout", "closed", "malformed"

 private:
  bool connect();
  bool connect_to(const addrinfo& to);
  void close();
  void send_more();
  void receive_more();

  const Address& address_;
  std::string_view request_;
  bool blocking_;
  Duration timeout_;
  int socket_ = -1;
  bool fresh_ = false;
  std::size_t sent_ = 0;
  State state_ = State::kIdle;
  TimePoint started_{};
  ResponseReader reader_;
  const char* error_ = "";
};

}  // namespace serverledge::bench
