#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace serverledge::test {

/// A peer that sends whatever bytes a test wants and says what came back. Blocks, at most 20 s at a time.
class RawPeer {
 public:
  static int new_socket() { return ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); }
  /// Connects to a port of this host, by a socket made before if there is one.
  explicit RawPeer(int port, int socket = new_socket()) : fd_(socket) {
    const timeval limit{20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      hang_up();
      throw std::runtime_error("cannot connect");
    }
  }
  RawPeer(RawPeer&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), waiting_(std::move(other.waiting_)) {}
  RawPeer& operator=(RawPeer&& other) noexcept {
    std::swap(fd_, other.fd_);
    waiting_.swap(other.waiting_);
    return *this;
  }
  ~RawPeer() { hang_up(); }

  int fd() const { return fd_; }

  /// Sends all of it; false if the server does not take it.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// The next answer, head and body, by its Content-Length; what there is of it if the connection ends
  /// before.
  std::string answer() {
    std::size_t head = std::string::npos;
    while ((head = waiting_.find("\r\n\r\n")) == std::string::npos) {
      if (!receive()) return std::exchange(waiting_, {});
    }
    const std::size_t size = head + 4 + content_length(waiting_.substr(0, head));
    while (waiting_.size() < size) {
      if (!receive()) return std::exchange(waiting_, {});
    }
    std::string answer = waiting_.substr(0, size);
    waiting_.erase(0, size);
    return answer;
  }
  /// All that comes until the server closes.
  std::string to_end() {
    while (receive()) {
    }
    return std::exchange(waiting_, {});
  }
  /// Sends a request and gives the answer.
  std::string ask(std::string_view request) {
    send(request);
    return answer();
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  void hang_up() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  /// Closes with a reset instead of an end.
  void reset() {
    const linger at_once{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    hang_up();
  }

 private:
  static std::size_t content_length(std::string_view head) {
    constexpr std::string_view kName = "Content-Length: ";
    const std::size_t at = head.find(kName);
    std::size_t length = 0;
    if (at != std::string_view::npos) {
      std::from_chars(head.data() + at + kName.size(), head.data() + head.size(), length);
    }
    return length;
  }
  bool receive() {
    char bytes[16 * 1024];
    const ssize_t got = ::recv(fd_, bytes, sizeof(bytes), 0);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
      throw std::runtime_error("nothing came for 20 s");
    if (got <= 0) return false;
    waiting_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }

  int fd_;
  std::string waiting_;
};

/// The status of an answer; 0 if it is none.
inline int status_of(std::string_view answer) {
  int status = 0;
  if (answer.substr(0, 9) == "HTTP/1.1 ")
    std::from_chars(answer.data() + 9, answer.data() + answer.size(), status);
  return status;
}

/// The body of an answer.
inline std::string body_of(std::string_view answer) {
  const std::size_t head = answer.find("\r\n\r\n");
  return head == std::string_view::npos ? std::string() : std::string(answer.substr(head + 4));
}

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

/// A POST with a body of that many bytes.
inline std::string post(std::string_view path, std::string_view body, std::string_view headers = {}) {
  return std::string("POST ")
      .append(path)
      .append(" HTTP/1.1\r\nHost: h\r\nContent-Length: ")
      .append(std::to_string(body.size()))
      .append("\r\n")
      .append(headers)
      .append("\r\n")
      .append(body);
}

inline std::string get(std::string_view path, std::string_view headers = {}) {
  return std::string("GET ").append(path).append(" HTTP/1.1\r\nHost: h\r\n").append(headers).append("\r\n");
}

}  // namespace serverledge::test
