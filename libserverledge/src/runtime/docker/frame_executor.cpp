#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/docker/executor.hpp"
#include "runtime/docker/frame_upgrade.hpp"
#include "runtime/frame_connection.hpp"

namespace serverledge {
namespace {

class FrameExecutor final : public Executor {
 public:
  FrameExecutor(const ExecutorSetup& setup, const LocalProcess& process)
      : setup_(setup), process_(process), channels_(static_cast<std::size_t>(setup.slots)) {}

  Result<void> load(TimePoint deadline) override { return open(0, deadline); }

  Result<Reply> call(const Call& call, TimePoint now) override {
    std::optional<FrameConnection>& channel = channels_.at(static_cast<std::size_t>(call.slot));
    if (!channel) {
      if (Result<void> opened = open(call.slot, call.deadline); !opened)
        return Unexpected(std::move(opened).error());
    }
    // What an earlier call wrote on the side must not be taken for this one's answer.
    if (Result<void> clean = channel->check_clean(); !clean) return Unexpected(std::move(clean).error());
    const std::string context = call_context(setup_.task.function, setup_.task.memory_mb, call, now);
    // A number that no function can know beforehand, to have an answer under way.
    Result<CallAnswer> answer = channel->call(
        {.id = entropy(), .context = context, .params = call.params, .capture_output = call.return_output},
        call.deadline);
    if (!answer) return Unexpected(std::move(answer).error());
    return to_reply(std::move(*answer), setup_.limits);
  }

  void end() noexcept override {
    const std::scoped_lock lock(mutex_);
    for (std::optional<FrameConnection>& channel : channels_) {
      if (channel) channel->shut();
    }
  }

 private:
  /// Opens the channel of a slot, and has the function loaded.
  Result<void> open(int slot, TimePoint deadline) {
    Result<FrameConnection> made =
        upgrade_to_frames(setup_.address, setup_.limits, process_.end_fd(), deadline, setup_.clock);
    if (!made) return Unexpected(std::move(made).error());
    if (Result<void> sent = made->load(frame_load(setup_.task), deadline); !sent) return sent;
    if (Result<std::string> ready = made->ready(deadline); !ready)
      return Unexpected(std::move(ready).error());
    const std::scoped_lock lock(mutex_);
    channels_.at(static_cast<std::size_t>(slot)).emplace(std::move(*made));
    return {};
  }

  const ExecutorSetup setup_;
  const LocalProcess& process_;
  std::mutex mutex_;  // of channels_, while one is opened, and for `end`
  std::vector<std::optional<FrameConnection>> channels_;
};

}  // namespace

std::unique_ptr<Executor> make_frame_executor(const ExecutorSetup& setup, const LocalProcess& process) {
  return std::make_unique<FrameExecutor>(setup, process);
}

}  // namespace serverledge
