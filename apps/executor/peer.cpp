#include "peer.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "call_reply.hpp"

namespace serverledge {
namespace {

constexpr Duration kHeadPatience = std::chrono::seconds(10);  // for the rest of a head that has begun
constexpr Duration kBodyPatience =
    std::chrono::seconds(60);  // without a byte of a body, or of room for an answer
constexpr Duration kLinger = std::chrono::seconds(2);

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK; }

}  // namespace

Peer::Peer(FileDescriptor socket, const RequestReader::Limits& limits, BodyBudget& budget,
           std::size_t body_max)
    : socket_(std::move(socket)), reader_(limits, budget), body_max_(body_max) {
  const int on = 1;
  ::setsockopt(fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(fd(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

Peer::Next Peer::go(TimePoint now) {
  while (true) {
    if (sent_ < out_.size() || closing_) {
      const Moved moved = lingering_ ? discard() : send(now);
      if (moved == Moved::kSome) continue;
      return moved == Moved::kEnd ? Next::kEnd : Next::kWait;
    }
    switch (reader_.advance()) {
      case RequestReader::State::kWhole:
        deadline_ = TimePoint::max();
        in_call_ = true;
        return Next::kCall;
      case RequestReader::State::kRefused:
        refuse();
        continue;
      case RequestReader::State::kHeadWhole:
        reader_.admit(body_max_);
        if (reader_.state() == RequestReader::State::kNeedsBody && reader_.expects_continue())
          out_ = "HTTP/1.1 100 Continue\r\n\r\n";
        continue;
      case RequestReader::State::kNeedsHead:
      case RequestReader::State::kNeedsBody:
        break;
    }
    const Moved moved = receive(now);
    if (moved == Moved::kSome) continue;
    return moved == Moved::kEnd ? Next::kEnd : Next::kWait;
  }
}

Peer::Moved Peer::receive(TimePoint now) {
  const bool begins = !reader_.has_begun();
  const std::span<char> space = reader_.space();
  const ssize_t got = ::recv(fd(), space.data(), space.size(), MSG_DONTWAIT);
  if (got > 0) {
    reader_.filled(static_cast<std::size_t>(got));
    if (reader_.state() == RequestReader::State::kNeedsBody) {
      deadline_ = now + kBodyPatience;
    } else if (begins) {
      deadline_ = now + kHeadPatience;
    }
    return Moved::kSome;
  }
  if (got < 0 && errno == EINTR) return Moved::kSome;
  if (got == 0 || !would_block()) return Moved::kEnd;
  if (!reader_.has_begun()) deadline_ = TimePoint::max();
  return Moved::kNothing;
}

Peer::Moved Peer::send(TimePoint now) {
  if (sent_ < out_.size()) {
    const ssize_t sent = ::send(fd(), out_.data() + sent_, out_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) return Moved::kSome;
    if (sent < 0 && !would_block()) return Moved::kEnd;
    if (sent < 0 || deadline_ == TimePoint::max()) deadline_ = now + kBodyPatience;
    if (sent < 0) return Moved::kNothing;
    sent_ += static_cast<std::size_t>(sent);
    if (sent_ < out_.size()) return Moved::kSome;
  }
  std::string().swap(out_);
  sent_ = 0;
  deadline_ = reader_.has_begun() ? now + kHeadPatience : TimePoint::max();
  if (closing_) {
    ::shutdown(fd(), SHUT_WR);
    lingering_ = true;
    deadline_ = now + kLinger;
  }
  return Moved::kSome;
}

Peer::Moved Peer::discard() {
  std::array<char, 16 * 1024> bytes;
  const ssize_t got = ::recv(fd(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got > 0 || (got < 0 && errno == EINTR)) return Moved::kSome;
  return got == 0 || !would_block() ? Moved::kEnd : Moved::kNothing;
}

void Peer::answer(int status, std::string_view body) {
  const bool keep = reader_.keep_alive();
  const std::string* call = reader_.request().headers.find("Serverledge-Call");
  out_ += http_answer(status, body, keep, call == nullptr ? std::string_view() : *call);
  closing_ = !keep;
  in_call_ = false;
  reader_.next();
}

void Peer::turn_away(int status, std::string_view message) {
  out_ += http_answer(status, failure_reply({"protocol", std::string(message), ""}), false);
  closing_ = true;
}

void Peer::refuse() { turn_away(reader_.refusal().status, reader_.refusal().message); }

std::uint32_t Peer::events() const noexcept { return sent_ < out_.size() ? EPOLLOUT : EPOLLIN; }

Peer::Next Peer::time_out(TimePoint now) {
  if (sent_ < out_.size() || closing_) return Next::kEnd;
  turn_away(408, "the rest of the request did not come");
  return go(now);
}

}  // namespace serverledge
