#include "connection.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace serverledge::bench {
namespace {

constexpr int kSlice = 100;  // milliseconds that a blocking connection waits without looking up

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

// To the next address that does not refuse at once.
void Connection::connect() {
  while (next_address_ != nullptr) {
    const addrinfo& to = *next_address_;
    next_address_ = to.ai_next;
    if (connect_to(to)) return;
    close();
  }
  give_up("connect");
}

bool Connection::connect_to(const addrinfo& to) {
  socket_ = ::socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_ < 0) return false;
  ++sockets_;
  const int on = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::connect(socket_, to.ai_addr, to.ai_addrlen) == 0) {
    connected();
    return true;
  }
  state_ = State::kConnect;
  return errno == EINPROGRESS;
}

void Connection::connected() {
  if (blocking_) {
    const timeval slice = {0, kSlice * 1000L};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof(slice));
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &slice, sizeof(slice));
    fcntl(socket_, F_SETFL, 0);
  }
  state_ = State::kSend;
}

void Connection::finish_connecting() {
  pollfd waiting = {socket_, POLLOUT, 0};
  if (poll(&waiting, 1, blocking_ ? kSlice : 0) != 1) {
    stalled_ = true;
    return;
  }
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0) {
    connected();
  } else {
    close();
    connect();
  }
}

void Connection::start(std::string_view request) {
  if (reader_.closes()) close();
  request_ = request;
  sent_ = 0;
  if (socket_ >= 0) {
    reader_.begin();
    state_ = State::kSend;
    return;
  }
  reader_ = ResponseReader();
  next_address_ = address_.list();
  connect();
}

Connection::State Connection::advance() {
  stalled_ = false;
  do {
    if (state_ == State::kConnect) {
      finish_connecting();
    } else if (state_ == State::kSend) {
      send_more();
    } else if (state_ == State::kWait) {
      receive_more();
    }
  } while (blocking_ && under_way() && !stalled_);
  return state_;
}

void Connection::send_more() {
  const auto count = send(socket_, request_.data() + sent_, request_.size() - sent_, MSG_NOSIGNAL);
  if (count >= 0) {
    sent_ += static_cast<std::size_t>(count);
    if (sent_ == request_.size()) state_ = State::kWait;
  } else if (errno == EAGAIN) {
    stalled_ = true;
  } else if (errno != EINTR) {
    state_ = State::kWait;  // the peer may have answered, and closed, before it had read everything
  }
}

void Connection::receive_more() {
  std::array<char, 64 * 1024> buffer;
  const auto count = recv(socket_, buffer.data(), buffer.size(), 0);
  if (count < 0) {
    if (errno == EAGAIN) {
      stalled_ = true;
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
