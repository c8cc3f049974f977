#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace serverledge::test {

/// Takes connections on a port of this host and answers nothing: says nothing at all, or hangs up when a
/// request has begun to come.
class SilentPeer {
 public:
  enum class Then { kWaits, kHangsUp };
  explicit SilentPeer(Then then = Then::kWaits)
      : then_(then), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, raw, size) != 0 || ::listen(listener_, 64) != 0 ||
        ::getsockname(listener_, raw, &size) != 0) {
      throw std::runtime_error("cannot listen");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this] { take_all(); });
  }
  ~SilentPeer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    for (const int taken : taken_) ::close(taken);
  }
  SilentPeer(const SilentPeer&) = delete;
  SilentPeer& operator=(const SilentPeer&) = delete;

  int port() const { return port_; }
  int connections() const {
    const std::scoped_lock lock(mutex_);
    return connections_;
  }

 private:
  void take_all() {
    for (int taken = 0; (taken = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      if (then_ == Then::kHangsUp) {
        std::array<char, 4096> request{};
        (void)::recv(taken, request.data(), request.size(), 0);
        ::close(taken);
      }
      const std::scoped_lock lock(mutex_);
      if (then_ == Then::kWaits) taken_.push_back(taken);
      ++connections_;
    }
  }

  const Then then_;
  const int listener_;
  int port_ = 0;
  mutable std::mutex mutex_;
  int connections_ = 0;
  std::vector<int> taken_;
  std::jthread thread_;
};

}  // namespace serverledge::test
