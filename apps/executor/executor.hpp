#pragma once

#include <sys/types.h>

#include <map>
#include <memory>

#include "net/body_budget.hpp"
#include "net/file_descriptor.hpp"
#include "peer.hpp"
#include "program.hpp"
#include "serverledge/core/clock.hpp"
#include "settings.hpp"

namespace serverledge {

/// Answers POST /invoke on a port by running a program for each call, any number at a time, in one thread.
/// Reaps every child that the process has, also those of programs that have ended (it may be process 1).
class Executor {
 public:
  /// kUnavailable if the port cannot be had. Blocks SIGCHLD, SIGTERM and SIGINT in the calling thread.
  static Result<std::unique_ptr<Executor>> open(ExecutorSettings settings, Clock& clock);

  int port() const noexcept { return port_; }
  /// Serves until SIGTERM or SIGINT; programs that still run are then killed.
  void run();

 private:
  struct Run {
    std::unique_ptr<Program> program;
    Peer* peer;  // stays as long as its call runs
  };

  explicit Executor(ExecutorSettings settings, Clock& clock);
  Result<void> listen();
  Result<void> watch_signals();
  void watch(int fd, std::uint32_t events);
  void unwatch(int fd);
  void accept_all(TimePoint now);
  void serve(Peer& peer, Peer::Next next, TimePoint now);
  bool answer_now(Peer& peer, TimePoint now);
  bool take_signals(TimePoint now);
  void reap(TimePoint now);
  void finish(std::map<pid_t, Run>::iterator run, int wait_status, TimePoint now);
  void take_output(int fd);
  int milliseconds_to_wait(TimePoint now) const;
  void time_out(TimePoint now);

  const ExecutorSettings settings_;
  Clock& clock_;
  const RequestReader::Limits limits_{};
  BodyBudget budget_;
  FileDescriptor epoll_;
  FileDescriptor listener_;
  FileDescriptor signals_;
  int port_ = 0;
  TimePoint accept_again_ = TimePoint::max();
  std::map<int, std::unique_ptr<Peer>> peers_;  // by descriptor
  std::map<pid_t, Run> runs_;
};

}  // namespace serverledge
