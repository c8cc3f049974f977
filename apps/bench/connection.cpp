#include "connection.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>

namespace serverledge::bench {
namespace {

timeval to_timeval(Duration duration) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
  return {micros / 1000000, micros % 1000000};
}

// Waits until a socket that is connecting is connected.
bool finish_connecting(int socket, Duration timeout) {
  pollfd waiting = {socket, POLLOUT, 0};
  const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  if (poll(&waiting, 1, static_cast<int>(limit)) != 1) return false;
  int error = 0;
  socklen_t size = sizeof(error);
  return getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

}  // namespace

Result<Address> Address::resolve(const std::string& host, int port) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list); error != 0) {
    return Unexpected(ErrorCode::kUnavailable, host + ": " + gai_strerror(error));
  }
  return Address(list);
}

Connection::Connection(const Address& address, std::string_view request, bool blocking, Duration timeout)
    : address_(address), request_(request), blocking_(blocking), timeout_(timeout) {}

Connection::~Connection() { close(); }

void Connection::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

void Connection::retire() {
  close();
  state_ = State::kIdle;
}

void Connection::give_up(const char* error) {
  close();
  error_ = error;
  state_ = State::kFailed;
}

bool Connection::connect() {
  for (const addrinfo* to = address_.list(); to != nullptr; to = to->ai_next) {
    if (connect_to(*to)) {
      reader_ = ResponseReader();
      return true;
    }
    close();
  }
  return false;
}

bool Connection::connect_to(const addrinfo& to) {
  socket_ = ::socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_ < 0) return false;
  const bool connecting = ::connect(socket_, to.ai_addr, to.ai_addrlen) != 0;
  if (connecting && (errno != EINPROGRESS || !finish_connecting(socket_, timeout_))) return false;
  const int on = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (blocking_) {
    const timeval limit = to_timeval(timeout_);
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    fcntl(socket_, F_SETFL, 0);
  }
  return true;
}

bool Connection::start(TimePoint now) {
  if (reader_.closes()) close();
  reader_.begin();
  sent_ = 0;
  started_ = now;
  fresh_ = socket_ < 0;
  if (fresh_ && !connect()) {
    give_up("connect");
    return false;
  }
  state_ = State::kSend;
  return true;
}

Connection::State Connection::advance() {
  do {
    state_ == State::kSend ? send_more() : receive_more();
  } while (blocking_ && (state_ == State::kSend || state_ == State::kWait));
  return state_;
}

void Connection::send_more() {
  const auto count = send(socket_, request_.data() + sent_, request_.size() - sent_, MSG_NOSIGNAL);
  if (count >= 0) {
    sent_ += static_cast<std::size_t>(count);
    if (sent_ == request_.size()) state_ = State::kWait;
  } else if (errno == EAGAIN) {
    if (blocking_) give_up("timeout");
  } else if (errno != EINTR) {
    state_ = State::kWait;  // the peer may have answered, and closed, before it had read everything
  }
}

void Connection::receive_more() {
  std::array<char, 64 * 1024> buffer;
  const auto count = recv(socket_, buffer.data(), buffer.size(), 0);
  if (count < 0) {
    if (errno == EAGAIN) {
      if (blocking_) give_up("timeout");
    } else if (errno != EINTR) {
      give_up("closed");
    }
    return;
  }
  const auto state =
      count == 0 ? reader_.end() : reader_.take({buffer.data(), static_cast<std::size_t>(count)});
  if (state == ResponseReader::State::kDone) state_ = State::kDone;
  if (state == ResponseReader::State::kMalformed) give_up(count == 0 ? "closed" : "malformed");
}

}  // namespace serverledge::bench
