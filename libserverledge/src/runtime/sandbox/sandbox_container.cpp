#include "runtime/sandbox/sandbox_container.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <cstring>
#include <utility>

namespace serverledge {
namespace {

/// Between the end of a channel and the news of the process's own end, which come from two processes.
constexpr auto kDeathPatience = std::chrono::milliseconds(500);

std::string signal_name(int number) {
  const char* name = ::sigabbrev_np(number);
  return name == nullptr ? fmt::format("signal {}", number) : fmt::format("SIG{}", name);
}

std::string describe(int status) {
  if (WIFSTOPPED(status))
    return fmt::format("the function stopped itself ({})", signal_name(WSTOPSIG(status)));
  if (WIFSIGNALED(status)) {
    return fmt::format("the function's process was killed by {}", signal_name(WTERMSIG(status)));
  }
  return fmt::format("the function's process exited with status {}", WEXITSTATUS(status));
}

}  // namespace

SandboxContainer::SandboxContainer(const Function& function, std::unique_ptr<Instance> instance,
                                   FrameLimits limits, Clock& clock)
    : function_(function.name),
      memory_mb_(function.memory_mb),
      limits_(limits),
      clock_(clock),
      instance_(std::move(instance)),
      slots_(static_cast<std::size_t>(std::max(1, function.max_concurrency))) {}

SandboxContainer::~SandboxContainer() { destroy(); }

Result<void> SandboxContainer::connect(Slot& slot, TimePoint deadline) {
  if (!slot.connection) {
    Result<FrameConnection> made =
        FrameConnection::connect(instance_->socket_path(), limits_, instance_->death_fd(), deadline);
    if (!made) return Unexpected(made.error());
    slot.connection.emplace(std::move(*made));
  }
  Result<std::string> ready = slot.connection->ready(deadline);
  if (!ready) return Unexpected(ready.error());
  return {};
}

Result<void> SandboxContainer::open(std::optional<FrameConnection> connection, TimePoint deadline) {
  if (connection) slots_[0].connection.emplace(std::move(*connection));
  Result<void> ready = connect(slots_[0], deadline);
  if (ready) return {};
  switch (ready.error().code) {
    case ErrorCode::kFunctionFailed:
      return ready;
    case ErrorCode::kDeadline:
      return Unexpected(ErrorCode::kDeadline, "the function did not load in time", ready.error().message);
    case ErrorCode::kUnavailable: {
      const Failure failure = ended();
      return Unexpected(ErrorCode::kFunctionFailed, fmt::format("while loading, {}", failure.message));
    }
    default:
      return Unexpected(
          ErrorCode::kFunctionFailed,
          fmt::format("while loading, the function broke its channel: {}", ready.error().message));
  }
}

Reply SandboxContainer::invoke(const Call& call) {
  const TimePoint begin = clock_.now();
  Slot& slot = slots_.at(static_cast<std::size_t>(call.slot));
  if (!slot.connection) {
    if (Result<void> connected = connect(slot, call.deadline); !connected)
      return broken(connected.error(), begin, call);
  }
  // What an earlier call wrote on the side must not be taken for this one's answer.
  if (const Result<void> clean = slot.connection->check_clean(); !clean)
    return broken(clean.error(), begin, call);
  const std::string context = call_context(function_, memory_mb_, call, begin);
  Result<CallAnswer> answer = slot.connection->call(
      {.id = ++slot.last_id, .context = context, .params = call.params, .capture_output = call.return_output},
      call.deadline);
  return answer ? answered(std::move(*answer)) : broken(answer.error(), begin, call);
}

Reply SandboxContainer::answered(CallAnswer answer) {
  Reply reply = to_reply(std::move(answer), limits_);
  if (!reply.failure) return reply;
  if (const std::string limit = exceeded(); !limit.empty()) {
    reply.failure->message += fmt::format(" ({})", limit);
    reply.doomed = true;
  }
  return reply;
}

std::string SandboxContainer::exceeded() {
  if (instance_->tmp_is_full()) return "its /tmp is full";
  const std::int64_t oom_kills = instance_->oom_kills();
  if (oom_kills > seen_oom_kills_.exchange(oom_kills)) {
    return fmt::format("a process of it was killed at the memory limit of {} MB", memory_mb_);
  }
  if (instance_->reached_process_limit()) return "it reached its limit of processes";
  return {};
}

Failure SandboxContainer::ended() {
  const Death death = instance_->death(kDeathPatience);
  if (death.kind == Death::Kind::kUnknown) {
    return {FailureKind::kProtocol, "the function closed its channel to the node", {}};
  }
  if (destroyed_) return {FailureKind::kCrashed, "the container was shut down", {}};
  if (instance_->oom_kills() > seen_oom_kills_) {
    return {
        FailureKind::kMemory, fmt::format("the function exceeded its memory limit of {} MB", memory_mb_), {}};
  }
  if (death.kind == Death::Kind::kKilled)
    return {FailureKind::kCrashed, "the function's sandbox was killed", {}};
  return {FailureKind::kCrashed, describe(death.status), {}};
}

Reply SandboxContainer::broken(const Error& error, TimePoint begin, const Call& call) {
  Reply reply;
  reply.doomed = true;
  switch (error.code) {
    case ErrorCode::kDeadline:
      reply.failure = {
          FailureKind::kTimeout,
          fmt::format("the function did not answer within {:.3g} s", seconds(call.deadline - begin)),
          {}};
      break;
    case ErrorCode::kUnavailable:
      reply.failure = ended();
      break;
    default:
      reply.failure = {FailureKind::kProtocol,
                       fmt::format("the function wrote what is no answer to its channel: {}", error.message),
                       {}};
  }
  return reply;
}

bool SandboxContainer::alive() const noexcept { return !destroyed_ && instance_->alive(); }

void SandboxContainer::destroy() noexcept {
  destroyed_ = true;
  instance_->release();
}

}  // namespace serverledge
