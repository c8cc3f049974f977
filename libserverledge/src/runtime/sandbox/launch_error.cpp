// Words for what the launcher and the isolation object tell as numbers.
#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "runtime/sandbox/launch_channel.hpp"

namespace serverledge {
namespace {

const char* doing(std::uint32_t step) {
  switch (step) {
    case SL_STEP_PROTOCOL:
      return "understand each other (the node and its launcher are of different versions)";
    case SL_STEP_USER_NAMESPACE:
      return "make a user namespace";
    case SL_STEP_PID_NAMESPACE:
      return "make a PID namespace";
    case SL_STEP_MOUNT_NAMESPACE:
      return "make a mount namespace";
    case SL_STEP_ROOT:
      return "build the root of the sandboxes at";
    case SL_STEP_BIND:
      return "show to the sandboxes";
    case SL_STEP_DEVICES:
      return "give the sandboxes the device";
    case SL_STEP_PROC:
      return "mount";
    case SL_STEP_PIVOT:
      return "change the root";
    case SL_STEP_FILTER:
      return "compile the seccomp filter";
    case SL_STEP_FORK:
      return "start a process";
    case SL_STEP_EXEC:
      return "start";
    case SL_STEP_CGROUP:
      return "enter the control group";
    case SL_STEP_NAMESPACES:
      return "make mount, IPC and host name namespaces";
    case SL_STEP_NETWORK:
      return "make a network namespace";
    case SL_STEP_CGROUP_NAMESPACE:
      return "make a control group namespace";
    case SL_STEP_CODE:
      return "show the function's code";
    case SL_STEP_TMP:
      return "mount";
    case SL_STEP_MASK:
      return "cover";
    case SL_STEP_HIDE:
      return "hide";
    case SL_STEP_LIMITS:
      return "set resource limits";
    case SL_STEP_NESTED_USER:
      return "make a user namespace for the instance";
    case SL_STEP_IDENTITY:
      return "take the instance's user id";
    case SL_STEP_CAPABILITIES:
      return "drop capabilities";
    case SL_STEP_SECCOMP:
      return "load the seccomp filter";
    default:
      return "do step";
  }
}

bool is_refusal(int error) { return error == EPERM || error == EACCES || error == ENOSPC || error == EUSERS; }

/// What would help where namespaces or mounts are refused.
const char* way_on(bool rootless) {
  if (!rootless) {
    return "The node needs CAP_SYS_ADMIN with a system call filter that lets it use namespaces and mounts: "
           "run it as "
           "root outside a container, or give its container --privileged; or use container.runtime: docker";
  }
  return "Without root the node needs unprivileged user namespaces with mounts in them: sysctl "
         "user.max_user_namespaces above 0, kernel.unprivileged_userns_clone=1 (Debian), "
         "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), and no container or system call filter "
         "around it that "
         "forbids unshare and mount, and no chroot; or run it as root; or use container.runtime: docker";
}

/// What would help where the machine is asked for something that it does not know.
std::string wrong_machine(const sl_event& event) {
  const bool of_root = event.step == SL_STEP_PIVOT ||
                       (event.step == SL_STEP_MOUNT_NAMESPACE && std::strcmp(event.detail, "/") == 0);
  if (event.error != EINVAL || !of_root) return ". It needs Linux 5.12 or later";
  return ". The root that the node sees is an initramfs, or that of a chroot without /proc, which sandboxes "
         "cannot leave for their own: mount /proc there, or start the node in a root that was pivoted to; or "
         "use "
         "container.runtime: docker";
}

}  // namespace

Error launch_error(const sl_event& event, bool rootless) {
  std::string message = fmt::format("the sandbox cannot {}", doing(event.step));
  if (event.detail[0] != 0) message += fmt::format(" {}", event.detail);
  if (event.error != 0) message += fmt::format(": {}", std::strerror(event.error));
  if (event.error == ENOSYS || event.error == EINVAL) message += wrong_machine(event);
  const bool setting_up = event.step >= SL_STEP_USER_NAMESPACE && event.step <= SL_STEP_SECCOMP;
  if (is_refusal(event.error) && setting_up) message += fmt::format(". {}", way_on(rootless));
  const bool refused = is_refusal(event.error) || event.error == ENOSYS || event.error == EINVAL;
  return {refused ? ErrorCode::kUnsupported : ErrorCode::kUnavailable, std::move(message), {}};
}

std::vector<std::string> missing_isolation(std::uint32_t missing) {
  struct Row {
    std::uint32_t step;
    const char* text;
  };
  static constexpr Row kRows[] = {
      {SL_STEP_NETWORK, "sandboxes share the network of the machine: they reach the node and each other"},
      {SL_STEP_CGROUP_NAMESPACE, "sandboxes see the names of their control groups"},
      {SL_STEP_PROC, "sandboxes have no /proc"},
      {SL_STEP_MASK, "sandboxes can read all of /proc that is not of processes"},
      {SL_STEP_NESTED_USER, "sandboxes share one user namespace"},
      {SL_STEP_SECCOMP, "sandboxes may make any system call"},
  };
  std::vector<std::string> sentences;
  for (const Row& row : kRows) {
    if ((missing >> row.step & 1U) != 0) sentences.emplace_back(row.text);
  }
  return sentences;
}

}  // namespace serverledge
