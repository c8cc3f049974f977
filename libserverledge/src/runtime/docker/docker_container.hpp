#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "runtime/docker/engine.hpp"
#include "runtime/docker/executor.hpp"
#include "runtime/docker/executor_protocol.hpp"
#include "runtime/docker/local_process.hpp"
#include "serverledge/core/container_runtime.hpp"

namespace serverledge {

/// How a container ended, as the engine tells it.
struct ContainerEnd {
  bool ended = false;  ///< or is gone altogether
  bool known = false;  ///< the rest is
  int exit_code = 0;
  bool out_of_memory = false;
};

/// A container that has been created, from there to its removal. It is removed by `destroy`, or at the latest
/// by the destructor.
class DockerContainer final : public Container {
 public:
  DockerContainer(std::shared_ptr<Engine> engine, const Function& function, std::string name);
  ~DockerContainer() override;

  /// Has the engine make it of the body of an API request. Nothing is left to be removed if the engine surely
  /// did not.
  Result<void> create(std::string body, TimePoint deadline);
  /// Puts a tar into its /app, before the start.
  Result<void> put_code(std::string tar, TimePoint deadline);
  /// Starts it, learns its address, and waits until its executor listens; then has an executor of ours import
  /// the function. kFunctionFailed with the end of its log if it ends meanwhile.
  Result<void> open(TimePoint deadline);

  /// Lets whatever user it runs as write to its /app, a volume that belongs to root. After `open`.
  Result<void> make_code_writable(TimePoint deadline);

  Reply invoke(const Call& call) override;
  void destroy() noexcept override;
  bool alive() const noexcept override;

  /// Ends it and its calls, as far as that can be done without the engine; whether its processes are dead.
  bool kill() noexcept;

 private:
  Result<void> start(TimePoint deadline);
  /// Reads address and process; kFunctionFailed if it runs no more.
  Result<void> inspect(TimePoint deadline);
  Result<void> await_listening(TimePoint deadline);
  Result<void> load(TimePoint deadline);
  /// How it ended, if it does within `patience`.
  ContainerEnd end(Duration patience);
  Error failed_start(const ContainerEnd& end);
  /// The last lines that it wrote.
  std::string log_tail();
  Failure ended();
  Reply broken(const Error& error, TimePoint begin, const Call& call);
  void add_exceeded_limit(Reply& reply);
  std::unique_ptr<Executor> make_executor(const std::string& label);

  enum class Remains { kNone, kSome };

  const std::shared_ptr<Engine> engine_;
  const std::string name_;
  const ExecutorTask task_;
  const int slots_;
  const FrameLimits limits_;
  HttpTarget address_;                   // of its executor
  bool loads_ = false;                   // its executor can import beforehand
  std::optional<LocalProcess> process_;  // for others than the opening thread: once located_
  std::unique_ptr<Executor> executor_;   // the same
  std::atomic<bool> located_ = false;
  std::atomic<std::int64_t> seen_oom_kills_ = 0;
  std::atomic<std::int64_t> seen_refused_forks_ = 0;
  std::atomic<Remains> remains_ = Remains::kNone;  // in the engine
  std::atomic<bool> ended_ = false;
  std::atomic<bool> destroyed_ = false;
};

}  // namespace serverledge
