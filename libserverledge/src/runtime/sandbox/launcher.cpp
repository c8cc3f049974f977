#include "runtime/sandbox/launcher.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "runtime/spawn_settings.hpp"

namespace serverledge {
namespace {

constexpr int kControl = 3;
constexpr int kAboveAllTargets = 64;
constexpr auto kStopPatience = std::chrono::seconds(5);

constexpr int kDyingMilliseconds = 200;

/// Whether the other end is still there, and remains so for a while. Between requests nothing is ever sent on
/// these channels.
bool is_open(const LaunchChannel& channel, int milliseconds = 0) {
  pollfd state{channel.fd(), POLLIN, 0};
  return ::poll(&state, 1, milliseconds) == 0;
}

std::vector<std::string> arguments(const LauncherOptions& options, const std::string& program) {
  std::vector<std::string> result = {program,
                                     "--protocol",
                                     std::to_string(SL_PROTOCOL),
                                     "--mount-point",
                                     options.mount_point,
                                     "--code",
                                     options.code,
                                     "--libexec",
                                     options.libexec,
                                     "--first-uid",
                                     std::to_string(options.first_uid),
                                     "--uid-count",
                                     std::to_string(options.uid_count)};
  for (const std::string& bind : options.binds) result.insert(result.end(), {"--bind", bind});
  if (options.rootless) result.emplace_back("--rootless");
  if (options.host_network) result.emplace_back("--host-network");
  return result;
}

/// Waits for the one event that a starting process tells.
Result<void> await_ready(const LaunchChannel& channel, const char* who, bool rootless, TimePoint deadline) {
  Result<LaunchEvent> event = channel.receive(deadline);
  if (!event) {
    return Unexpected(event.error().code,
                      fmt::format("the sandbox's {} did not start: {}", who, event.error().message));
  }
  if (event->event.kind == SL_FAILED) return Unexpected(launch_error(event->event, rootless));
  return {};
}

}  // namespace

Result<void> Launcher::spawn(int control) const {
  const std::string program = options_.libexec + "/serverledge-launcher";
  std::vector<std::string> words = arguments(options_, program);
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  SpawnSettings settings;
  std::vector<FileDescriptor> high;  // out of the way of the targets
  int target = kControl;
  auto give = [&](int fd) {
    high.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, kAboveAllTargets));
    settings.give(high.back().get(), target++);
  };
  give(control);
  for (const int lock : options_.locks) give(lock);
  settings.close_from(target);
  char* no_environment[] = {nullptr};
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, program.c_str(), settings.actions(), settings.attributes(),
                                  argv.data(), no_environment);
  if (error != 0) {
    return Unexpected(
        ErrorCode::kUnavailable,
        fmt::format("cannot start {}: {} (sandbox.libexec names its folder)", program, std::strerror(error)));
  }
  // It leaves PID 1 behind and exits at once. Where the process ignores SIGCHLD the kernel has reaped it:
  // ECHILD.
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return {};
}

Result<Launcher::Channel> Launcher::control(TimePoint deadline) {
  if (stopped_) return Unexpected(ErrorCode::kCancelled, "the sandbox runtime has been shut down");
  if (control_ && is_open(*control_)) return control_;
  control_.reset();
  zygote_.reset();
  auto ends = LaunchChannel::make();
  if (!ends) return Unexpected(ends.error());
  if (Result<void> spawned = spawn(ends->second.get()); !spawned) return Unexpected(spawned.error());
  ends->second.reset();
  Result<void> ready = await_ready(ends->first, "launcher", options_.rootless, deadline);
  if (!ready) return Unexpected(ready.error());
  control_ = std::make_shared<LaunchChannel>(std::move(ends->first));
  return control_;
}

Result<Launcher::Channel> Launcher::zygote(TimePoint deadline) {
  Result<Channel> supervisor = control(deadline);
  if (!supervisor) return supervisor;
  if (zygote_ && is_open(*zygote_)) return zygote_;
  auto events = LaunchChannel::make();
  if (!events) return Unexpected(events.error());
  auto ends = LaunchChannel::make();
  if (!ends) return Unexpected(ends.error());
  sl_request request{};
  request.protocol = SL_PROTOCOL;
  request.operation = SL_ZYGOTE;
  if (options_.rootless) request.flags |= SL_ROOTLESS;
  if (options_.python.size() >= sizeof(request.program)) {
    return Unexpected(ErrorCode::kInvalid, "sandbox.python: the path is too long");
  }
  std::memcpy(request.program, options_.python.data(), options_.python.size());
  const int fds[] = {events->second.get(), ends->second.get()};
  if (Result<void> sent = (*supervisor)->send(request, fds, deadline); !sent) return Unexpected(sent.error());
  events->second.reset();
  ends->second.reset();
  Result<void> ready = await_ready(events->first, "Python zygote", options_.rootless, deadline);
  if (!ready) return Unexpected(ready.error());
  zygote_ = std::make_shared<LaunchChannel>(std::move(ends->first));
  return zygote_;
}

Result<void> Launcher::start(TimePoint deadline) {
  const std::scoped_lock guard(mutex_);
  Result<Channel> channel = control(deadline);
  if (!channel) return Unexpected(channel.error());
  return {};
}

Result<void> Launcher::start_zygote(TimePoint deadline) {
  const std::scoped_lock guard(mutex_);
  Result<Channel> channel = zygote(deadline);
  if (!channel) return Unexpected(channel.error());
  return {};
}

Result<void> Launcher::request(const sl_request& request, std::span<const int> fds, TimePoint deadline) {
  Channel channel;
  {
    const std::scoped_lock guard(mutex_);
    Result<Channel> found = request.operation == SL_PYTHON ? zygote(deadline) : control(deadline);
    if (!found) return Unexpected(found.error());
    channel = std::move(*found);
  }
  return channel->send(request, fds, deadline);
}

bool Launcher::has_died(sl_operation operation) {
  Channel channel;
  {
    const std::scoped_lock guard(mutex_);
    channel = operation == SL_PYTHON ? zygote_ : control_;
  }
  return !channel || !is_open(*channel, kDyingMilliseconds);
}

void Launcher::stop() noexcept {
  const std::scoped_lock guard(mutex_);
  stopped_ = true;
  zygote_.reset();
  if (!control_) return;
  ::shutdown(control_->fd(), SHUT_WR);
  // It kills and reaps everything below it before it goes; then there is nothing more to read.
  (void)control_->receive(later(system_clock().now(), kStopPatience));
  control_.reset();
}

}  // namespace serverledge
