#include "serve.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "process_setup.hpp"
#include "serverledge/assembly/open_node.hpp"
#include "stop_signals.hpp"

namespace serverledge {
namespace {

/// An event that `poll` can wait for.
class Event {
 public:
  Event() : fd_(::eventfd(0, EFD_CLOEXEC)) {}
  ~Event() { ::close(fd_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void set() const {
    const std::uint64_t one = 1;
    while (::write(fd_, &one, sizeof(one)) < 0) {
    }
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

/// Waits for the first signal, then for the end of the drain or a second one.
int run_until_stopped(OpenedNode& node, StopSignals& signals, Duration drain) {
  const int first = signals.wait();
  fmt::print(stderr,
             "serverledge: {}: stopping, waiting up to {} s for running calls (again: stop at once)\n",
             ::sigabbrev_np(first), seconds(drain));
  const Event stopped;
  std::jthread stopper([&] {
    node.stop(drain);
    stopped.set();
  });
  if (signals.wait(stopped.fd()) == 0) return kStopped;
  fmt::print(stderr, "serverledge: stopping at once\n");
  node.stop(Duration::zero());
  return kCutOff;
}

int fail(const Error& error) {
  fmt::print(stderr, "serverledge: {}\n", error.message);
  return error.code == ErrorCode::kInvalid ? kWrongUsage : kNotStarted;
}

}  // namespace

int serve(const Configuration& configuration) {
  StopSignals signals;  // before the first thread
  for (const std::string& notice : prepare_process()) fmt::print(stderr, "serverledge: {}\n", notice);
  Result<std::unique_ptr<OpenedNode>> node = open_node(configuration);
  if (!node) return fail(node.error());
  if (const Result<void> started = (*node)->start(); !started) return fail(started.error());
  return run_until_stopped(**node, signals, configuration.duration("api.drain"));
}

}  // namespace serverledge
