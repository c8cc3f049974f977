#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "call_reply.hpp"
#include "call_request.hpp"
#include "net/file_descriptor.hpp"
#include "private_folder.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"
#include "settings.hpp"

namespace serverledge {

/// The program of one call: a process group of its own, with a private folder for its params and its result.
/// Its end is told by the kernel to whoever waits for children; destroying the object kills the group.
class Program {
 public:
  /// kUnavailable if it cannot be started.
  static Result<std::unique_ptr<Program>> start(const CallRequest& call, const ExecutorSettings& settings,
                                                TimePoint now);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  pid_t pid() const noexcept { return pid_; }
  /// Where its standard output and error come from, non-blocking; -1 once all who could write have ended.
  int output_fd() const noexcept { return output_.get(); }
  TimePoint deadline() const noexcept { return deadline_; }

  /// Takes what it has printed.
  void read_output();
  /// Kills it and all of its group.
  void time_out();
  /// Kills what is left of its group. While its process is still to be waited for: then no other can have its
  /// number.
  void kill_group() noexcept;
  /// The reply to the call, of the process that has been waited for.
  std::string reply(int wait_status);

 private:
  Program(PrivateFolder folder, const CallRequest& call, const ExecutorSettings& settings);
  Result<void> spawn(const CallRequest& call, TimePoint now);
  std::vector<std::string> environment(const CallRequest& call) const;
  std::string output() const;
  std::string failed(const char* kind, std::string message) const;

  const ExecutorSettings& settings_;
  PrivateFolder folder_;
  bool return_output_;
  pid_t pid_ = -1;
  bool waited_for_ = false;
  bool timed_out_ = false;
  TimePoint deadline_ = TimePoint::max();
  FileDescriptor output_;
  std::string printed_;
  bool cut_ = false;
};

}  // namespace serverledge
