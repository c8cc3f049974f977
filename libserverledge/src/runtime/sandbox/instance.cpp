#include "runtime/sandbox/instance.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

#include "runtime/sandbox/process_tree.hpp"

namespace serverledge {
namespace {

constexpr int kBacklog = 4096;
constexpr std::uint32_t kMaxFiles = 4096;
constexpr std::uint64_t kBytesPerInode = 4096;
constexpr std::uint64_t kMostInodes = 65536;
constexpr int kCountedBesides = 4;  // by RLIMIT_NPROC, besides what lives
constexpr double kSlack = 1.25;     // of the cores that it may take
constexpr int kLowPriority = 15;    // the weight of a process at it is a thirtieth of a usual one's
constexpr auto kShortestWatch = std::chrono::milliseconds(500);
constexpr auto kKillPatience = std::chrono::seconds(5);

/// A listening socket at `path`, to be inherited by the worker.
Result<FileDescriptor> listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Unexpected(ErrorCode::kInvalid, fmt::format("{}: too long for the name of a socket", path));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  FileDescriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener.valid() ||
      ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener.get(), kBacklog) != 0) {
    return Unexpected(ErrorCode::kUnavailable,
                      fmt::format("cannot listen at {}: {}", path, std::strerror(errno)));
  }
  return listener;
}

void copy_text(char* to, std::size_t size, const std::string& from) {
  std::memcpy(to, from.data(), std::min(size - 1, from.size()));
}

sl_request to_request(const InstancePlan& plan, std::uint32_t uid, bool rootless, bool bounded_processes) {
  sl_request request{};
  request.protocol = SL_PROTOCOL;
  request.operation = plan.operation;
  if (rootless) request.flags |= SL_ROOTLESS;
  if (plan.host_network) request.flags |= SL_HOST_NETWORK;
  if (plan.unsafe) request.flags |= SL_UNSAFE;
  request.uid = uid;
  request.gid = uid;
  // A Python worker has a thread for each slot: its limit comes with the function.
  const bool bounded = bounded_processes || plan.operation == SL_PYTHON;
  request.max_processes = bounded ? 0 : static_cast<std::uint32_t>(plan.processes);
  request.max_files = kMaxFiles;
  request.tmp_bytes = plan.tmp_bytes;
  request.tmp_inodes = std::min(kMostInodes, plan.tmp_bytes / kBytesPerInode + 16);
  copy_text(request.program, sizeof(request.program), plan.program);
  return request;
}

/// Of a start during which the runtime was shut down.
Error stopped_on_the_way() { return {ErrorCode::kUnavailable, "the runtime has been shut down", {}}; }

}  // namespace

void Machine::add(Instance& instance) {
  const std::scoped_lock guard(mutex_);
  instances_.insert(&instance);
}

void Machine::remove(Instance& instance) noexcept {
  const std::scoped_lock guard(mutex_);
  instances_.erase(&instance);
}

Instance::Instance(std::shared_ptr<Machine> machine, std::uint32_t uid, Cgroup cgroup)
    : machine_(std::move(machine)), uid_(uid), cgroup_(std::move(cgroup)) {
  machine_->add(*this);
}

Instance::~Instance() {
  machine_->remove(*this);
  release();
}

Result<std::unique_ptr<Instance>> Instance::start(const std::shared_ptr<Machine>& machine,
                                                  const InstancePlan& plan, TimePoint deadline) {
  Result<std::unique_ptr<Instance>> instance = start_once(machine, plan, deadline);
  const bool lost = !instance && instance.error().code == ErrorCode::kUnavailable;
  if (lost && machine->launcher.has_died(plan.operation)) return start_once(machine, plan, deadline);
  return instance;
}

Result<std::unique_ptr<Instance>> Instance::start_once(const std::shared_ptr<Machine>& machine,
                                                       const InstancePlan& plan, TimePoint deadline) {
  if (plan.program.size() >= SL_PATH_MAX) {
    return Unexpected(ErrorCode::kInvalid, fmt::format("{}: the path is too long", plan.program));
  }
  const std::string name = std::to_string(machine->next_number());
  Result<Cgroup> cgroup = machine->cgroups.create(name, {.processes = plan.processes});
  if (!cgroup) return Unexpected(cgroup.error());
  Result<std::uint32_t> uid = machine->uids.take();
  if (!uid) return Unexpected(uid.error());
  std::unique_ptr<Instance> instance(new Instance(machine, *uid, std::move(*cgroup)));
  instance->socket_path_ = machine->folder + '/' + name;
  if (Result<void> sent = instance->send(plan, deadline); !sent) return Unexpected(sent.error());
  if (Result<void> started = instance->await_started(deadline); !started) return Unexpected(started.error());
  return instance;
}

Result<void> Instance::send(const InstancePlan& plan, TimePoint deadline) {
  Result<FileDescriptor> listener = listen_at(socket_path_);
  if (!listener) return Unexpected(listener.error());
  Result<std::vector<FileDescriptor>> entrances = open_entrances();
  if (!entrances) return Unexpected(entrances.error());
  auto ends = LaunchChannel::make();
  if (!ends) return Unexpected(ends.error());
  events_ = std::move(ends->first);
  std::vector<int> fds = {ends->second.get(), listener->get()};
  for (const FileDescriptor& file : *entrances) fds.push_back(file.get());
  sl_request request =
      to_request(plan, uid_, machine_->launcher.rootless(), machine_->cgroups.limits_processes());
  request.cgroup_count = static_cast<std::uint32_t>(entrances->size());
  if (cgroup_.is_unified()) request.flags |= SL_UNIFIED;
  return machine_->launcher.request(request, fds, deadline);
}

Result<std::vector<FileDescriptor>> Instance::open_entrances() {
  const std::scoped_lock guard(mutex_);
  if (released_) return Unexpected(stopped_on_the_way());
  return cgroup_.open_entrances();
}

Result<void> Instance::await_started(TimePoint deadline) {
  for (;;) {
    Result<LaunchEvent> event = events_.receive(deadline);
    if (!event) {
      return Unexpected(event.error().code,
                        fmt::format("the sandbox did not start: {}", event.error().message));
    }
    const std::scoped_lock guard(mutex_);
    if (released_) {
      if (event->event.kind == SL_FORKED && event->fds.size() == 1) {
        pidfd_ = std::move(event->fds[0]);  // there was nothing to be killed yet
        kill_all();
        pidfd_.reset();
      }
      return Unexpected(stopped_on_the_way());
    }
    switch (event->event.kind) {
      case SL_FORKED:
        if (event->fds.size() == 1) pidfd_ = std::move(event->fds[0]);
        break;
      case SL_STARTED:
        if (event->fds.size() != 2 || !pidfd_.valid())
          return Unexpected(ErrorCode::kInternal, "descriptors missing");
        tmp_ = std::move(event->fds[0]);
        mounts_ = std::move(event->fds[1]);
        missing_ = event->event.missing;
        return {};
      case SL_FAILED:
        return Unexpected(launch_error(event->event, machine_->launcher.rootless()));
      default:
        return Unexpected(ErrorCode::kInternal, "the sandbox told what it should not");
    }
  }
}

bool Instance::alive() const noexcept {
  pollfd state{events_.fd(), POLLIN, 0};
  return ::poll(&state, 1, 0) == 0;
}

Death Instance::death(Duration patience) {
  const std::scoped_lock guard(mutex_);
  if (death_) return *death_;
  Result<LaunchEvent> event = events_.receive(later(system_clock().now(), patience));
  if (!event && event.error().code == ErrorCode::kDeadline) return {};
  if (event && event->event.kind == SL_ENDED) {
    death_ = Death{Death::Kind::kEnded, event->event.status};
  } else {
    death_ = Death{Death::Kind::kKilled, 0};
  }
  return *death_;
}

Result<void> Instance::specialise(const std::string& code, const CgroupLimits& limits, TimePoint deadline) {
  if (code.size() >= SL_CODE_MAX)
    return Unexpected(ErrorCode::kInternal, "the name of a code folder is too long");
  auto ends = LaunchChannel::make();
  if (!ends) return Unexpected(ends.error());
  sl_request request{};
  request.protocol = SL_PROTOCOL;
  request.operation = SL_CODE;
  copy_text(request.code, sizeof(request.code), code);
  const int fds[] = {ends->second.get(), mounts_.get()};
  if (Result<void> sent = machine_->launcher.request(request, fds, deadline); !sent) return sent;
  ends->second.reset();
  {
    const std::scoped_lock guard(mutex_);  // while the launcher works
    limits_ = limits;
    if (Result<void> limited = cgroup_.limit(limits); !limited) return limited;
  }
  Result<LaunchEvent> event = ends->first.receive(deadline);
  if (!event) return Unexpected(event.error());
  if (event->event.kind == SL_FAILED)
    return Unexpected(launch_error(event->event, machine_->launcher.rootless()));
  return {};
}

std::int64_t Instance::oom_kills() {
  const std::scoped_lock guard(mutex_);
  return (over_memory_ ? 1 : 0) + (released_ ? last_oom_kills_ : cgroup_.oom_kills());
}

bool Instance::reached_process_limit() {
  const std::scoped_lock guard(mutex_);
  if (released_) return false;
  if (machine_->cgroups.limits_processes()) {
    const std::int64_t refused = cgroup_.refused_forks();
    return refused > std::exchange(refused_forks_, refused);
  }
  return limits_.processes > 0 &&
         usage_of_tree(pid_of(pidfd_.get())).tasks + kCountedBesides >= limits_.processes;
}

bool Instance::tmp_is_full() {
  const std::scoped_lock guard(mutex_);
  struct statfs space {};
  if (!tmp_.valid() || ::fstatfs(tmp_.get(), &space) != 0) return false;
  return space.f_bavail == 0 || space.f_ffree == 0;
}

std::int64_t Instance::tmp_bytes() const {
  struct statfs space {};
  if (!tmp_.valid() || ::fstatfs(tmp_.get(), &space) != 0) return 0;
  return static_cast<std::int64_t>(space.f_blocks - space.f_bfree) * static_cast<std::int64_t>(space.f_bsize);
}

bool Instance::watch(TimePoint now) {
  const std::scoped_lock guard(mutex_);
  if (released_ || !pidfd_.valid()) return false;
  const TreeUsage usage = usage_of_tree(pid_of(pidfd_.get()));
  bool acted = false;
  if (!machine_->cgroups.limits_memory()) acted = watch_memory(usage.memory_bytes + tmp_bytes());
  if (!machine_->cgroups.limits_cpu()) acted = watch_cpu(now, usage.cpu_time, usage.processes) || acted;
  return acted;
}

bool Instance::watch_memory(std::int64_t used) {
  if (over_memory_ || limits_.memory_bytes <= 0 || used <= limits_.memory_bytes) return false;
  over_memory_ = true;
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  return true;
}

bool Instance::watch_cpu(TimePoint now, Duration cpu_time, const std::vector<pid_t>& processes) {
  if (slowed_ || limits_.cpus <= 0 || now - watched_at_ < kShortestWatch) return false;
  const bool first = watched_at_ == TimePoint{};
  const Duration since = now - std::exchange(watched_at_, now);
  const Duration used = cpu_time - std::exchange(watched_cpu_, cpu_time);
  if (first || seconds(used) <= kSlack * limits_.cpus * seconds(since)) return false;
  slowed_ = true;
  for (const pid_t process : processes) ::setpriority(PRIO_PROCESS, static_cast<id_t>(process), kLowPriority);
  return true;
}

bool Instance::kill_all() noexcept {
  if (!pidfd_.valid()) return true;
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  // When PID 1 of a namespace is gone, so is all that was in it.
  const TimePoint deadline = later(system_clock().now(), kKillPatience);
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - system_clock().now()).count();
    pollfd state{pidfd_.get(), POLLIN, 0};
    const int count = ::poll(&state, 1, static_cast<int>(std::max<long long>(left, 0)));
    if (count > 0) return true;
    if (count == 0 || errno != EINTR) return false;
  }
}

void Instance::release() noexcept {
  const std::scoped_lock guard(mutex_);
  if (released_) return;
  const bool gone = kill_all();
  last_oom_kills_ = cgroup_.oom_kills();
  cgroup_.remove();
  ::unlink(socket_path_.c_str());
  pidfd_.reset();
  tmp_.reset();
  // An id is not given to the next one as long as something may still run under it.
  if (gone) machine_->uids.give_back(uid_);
  released_ = true;
}

}  // namespace serverledge
