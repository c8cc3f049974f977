#include "stop_signals.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

namespace serverledge {

StopSignals::StopSignals() {
  sigset_t stopping;
  sigemptyset(&stopping);
  sigaddset(&stopping, SIGINT);
  sigaddset(&stopping, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stopping, nullptr);
  signals_ = signalfd(-1, &stopping, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals_ < 0) throw std::system_error(errno, std::generic_category(), "signalfd");
}

StopSignals::~StopSignals() { ::close(signals_); }

int StopSignals::wait(int instead) {
  for (;;) {
    std::array<pollfd, 2> ready{{{signals_, POLLIN, 0}, {instead, POLLIN, 0}}};
    if (::poll(ready.data(), ready.size(), -1) < 0) continue;
    signalfd_siginfo received{};
    if (::read(signals_, &received, sizeof(received)) == sizeof(received))
      return static_cast<int>(received.ssi_signo);
    if (ready[1].revents != 0) return 0;
  }
}

}  // namespace serverledge
