#include "net/connection.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>

namespace serverledge {

namespace {

constexpr std::size_t kKeptOutput = 16 * 1024;  // capacity that an idle connection may keep

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK; }

ssize_t receive(int fd, char* to, std::size_t size) {
  ssize_t got = 0;
  do {
    got = recv(fd, to, size, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  return got;
}

}  // namespace

Connection::Read Connection::read() {
  const auto space = reader.space();
  const ssize_t got = receive(fd_.get(), space.data(), space.size());
  if (got > 0) {
    reader.filled(static_cast<std::size_t>(got));
    exhausted = static_cast<std::size_t>(got) < space.size();
    return Read::kSome;
  }
  if (got == 0 || !would_block()) return Read::kEnd;
  exhausted = true;
  return Read::kNothing;
}

Connection::Read Connection::discard() {
  std::array<char, 64 * 1024> bytes;
  const ssize_t got = receive(fd_.get(), bytes.data(), bytes.size());
  if (got > 0) return Read::kSome;
  return got == 0 || !would_block() ? Read::kEnd : Read::kNothing;
}

bool Connection::has_unread() const {
  char byte = 0;
  return recv(fd_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0;
}

Connection::Flush Connection::flush() {
  while (has_output()) {
    std::array<iovec, 2> parts{};
    const std::size_t of_body = sent_ > head.size() ? sent_ - head.size() : 0;
    const std::size_t of_head = sent_ - of_body;
    parts[0] = {head.data() + of_head, head.size() - of_head};
    parts[1] = {body.data() + of_body, body.size() - of_body};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = body.empty() ? 1 : 2;
    const ssize_t sent = sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return would_block() ? Flush::kBlocked : Flush::kBroken;
    sent_ += static_cast<std::size_t>(sent);
  }
  sent_ = 0;
  head.clear();
  body.clear();
  if (body.capacity() > kKeptOutput) std::string().swap(body);
  return Flush::kDone;
}

void Connection::clear() {
  sent_ = 0;
  std::string().swap(head);
  std::string().swap(body);
  match = {};
  exhausted = closing = untidy = lingering = writable_watched = false;
}

void Connection::shut() noexcept { shutdown(fd_.get(), SHUT_WR); }

}  // namespace serverledge
