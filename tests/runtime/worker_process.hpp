#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/frame_connection.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {

/// A worker of apps/runtimes as the sandbox would start it, but without a sandbox: a process with a listener
/// on descriptor 3 and a folder of code. Killed with the object.
class WorkerProcess {
 public:
  struct Options {
    std::map<std::string, std::string> files;  ///< name in the code folder, content
    std::string handler;
    int slots = 1;
    FrameLimits limits = {};
  };
  static std::unique_ptr<WorkerProcess> python(const Options& options);
  /// Skips the test where there is no Node.js.
  static std::unique_ptr<WorkerProcess> nodejs(const Options& options);
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  /// What the first frame of the first connection says.
  Result<std::string> ready();
  /// A further connection, ready for calls.
  FrameConnection connect();
  /// Makes a call on the first connection (after `ready`, which it sees to) and waits for its answer.
  Result<CallAnswer> call(std::string_view params = "{}", bool capture = false);
  /// The same on another one.
  Result<CallAnswer> call_on(FrameConnection& connection, std::string_view params, bool capture = false);
  /// The result of a call that must succeed, the message of one that must raise or return what is not JSON.
  std::string result(std::string_view params = "{}");
  Failure failure(std::string_view params = "{}");

  FrameConnection& connection() { return *first_; }
  pid_t pid() const { return pid_; }
  /// Waits for the process to end: its wait status.
  int wait();
  std::string folder() const { return folder_.file("app"); }

 private:
  explicit WorkerProcess(const Options& options);
  void start(const std::vector<std::string>& arguments, const Options& options);
  void load(const Options& options);

  TemporaryFolder folder_;
  FrameLimits limits_;
  pid_t pid_ = -1;
  std::unique_ptr<FrameConnection> first_;
  bool ready_ = false;
  std::uint64_t last_id_ = 0;
};

/// The params of a call of a handler that evaluates their member "e".
inline std::string expression(const std::string& text) { return R"({"e":")" + text + R"("})"; }

/// Until when a worker has to answer.
inline TimePoint patience() { return later(system_clock().now(), std::chrono::seconds(40)); }

}  // namespace serverledge::test
