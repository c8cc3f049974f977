// Turning a fresh process into an instance: what sl_confine does, in order.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "isolation.h"
#include "privileges.h"

struct confinement {
  struct sl_request* request;
  uint32_t missing;
  int proc;    // the process's own folder in a writable /proc
  int tmp;     // the instance's /tmp
  int mounts;  // its mount namespace
};

static void fail(int step, const char* detail) {
  sl_send_failure(SL_EVENTS_FD, step, detail);
  _exit(1);
}

// Without this step the instance would be less isolated: the end, unless the node was told to go on
// regardless.
static void lack(struct confinement* c, int step, const char* detail) {
  if ((c->request->flags & SL_UNSAFE) == 0) fail(step, detail);
  c->missing |= 1U << (unsigned)step;
}

// A child that is born in its control group: entering one later means to wait for a grace period of the
// kernel's RCU, some 10 ms.
static pid_t clone_init(const struct sl_task* task) {
  struct clone_args how;
  memset(&how, 0, sizeof(how));
  how.flags = CLONE_NEWPID;
  how.exit_signal = SIGCHLD;
  if ((task->request.flags & SL_UNIFIED) != 0) {
    how.flags |= CLONE_INTO_CGROUP;
    how.cgroup = (uint64_t)task->fds[SL_ENTRANCE];
  }
  return (pid_t)syscall(SYS_clone3, &how, sizeof(how));
}

// Where clone3 is refused, as a container around all this may do.
static pid_t fork_init(int own) {
  // unshare refuses while an earlier child's namespace is pending.
  if (setns(own, CLONE_NEWPID) != 0 || unshare(CLONE_NEWPID) != 0) return -1;
  pid_t child = fork();
  int saved = errno;
  if (child != 0) (void)setns(own, CLONE_NEWPID);
  errno = saved;
  return child;
}

pid_t sl_fork_init(struct sl_task* task, int own) {
  pid_t child = clone_init(task);
  if (child == 0 && (task->request.flags & SL_UNIFIED) != 0) task->request.flags |= SL_INSIDE;
  if (child < 0) child = fork_init(own);
  if (child < 0) sl_send_failure(task->fds[0], SL_STEP_FORK, "");
  return child;
}

static int enter_by(int folder, const char* file) {
  int fd = openat(folder, file, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  int result = write(fd, "0", 1) == 1 ? 0 : -1;
  int saved = errno;
  close(fd);
  errno = saved;
  return result;
}

static int join_cgroups(const struct sl_task* task) {
  const int unified = (task->request.flags & SL_UNIFIED) != 0;
  if ((task->request.flags & SL_INSIDE) != 0) return 0;
  for (uint32_t i = 0; i < task->request.cgroup_count; ++i) {
    int entrance = task->fds[SL_ENTRANCE + i];
    if (unified ? enter_by(entrance, "cgroup.procs") != 0 : write(entrance, "0", 1) != 1) return -1;
  }
  return 0;
}

// Events and listener to their places, /dev/null to the standard ones, and nothing else stays open.
static int arrange_descriptors(struct sl_task* task) {
  enum { kAbove = 64 };
  int events = fcntl(task->fds[0], F_DUPFD_CLOEXEC, kAbove);
  int listener = fcntl(task->fds[1], F_DUPFD_CLOEXEC, kAbove);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (events < 0 || listener < 0 || null < 0) return -1;
  for (int fd = 0; fd < 3; ++fd) {
    if (dup2(null, fd) < 0) return -1;
  }
  if (dup2(events, SL_EVENTS_FD) < 0 || dup2(listener, SL_LISTENER_FD) < 0) return -1;
  return close_range(SL_LISTENER_FD + 1, ~0U, 0);
}

static int bring_up_loopback(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct ifreq request;
  memset(&request, 0, sizeof(request));
  memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  int result = ioctl(fd, SIOCSIFFLAGS, &request);
  int saved = errno;
  close(fd);
  errno = saved;
  return result;
}

static void enter_namespaces(struct confinement* c) {
  static const char kName[] = "sandbox";
  if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) != 0 || sethostname(kName, sizeof(kName) - 1) != 0) {
    fail(SL_STEP_NAMESPACES, "");
  }
  if ((c->request->flags & SL_HOST_NETWORK) == 0 &&
      (unshare(CLONE_NEWNET) != 0 || bring_up_loopback() != 0)) {
    lack(c, SL_STEP_NETWORK, "");
  }
  // It hides only a path, and the joined groups need no hiding where there are none.
  if (c->request->cgroup_count > 0 && unshare(CLONE_NEWCGROUP) != 0)
    c->missing |= 1U << SL_STEP_CGROUP_NAMESPACE;
}

static void mount_tmp(struct confinement* c) {
  char options[96];
  (void)snprintf(options, sizeof(options), "size=%llu,nr_inodes=%llu,mode=1777",
                 (unsigned long long)c->request->tmp_bytes, (unsigned long long)c->request->tmp_inodes);
  if (mount("tmp", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options) != 0) fail(SL_STEP_TMP, "/tmp");
  c->tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (c->tmp < 0) fail(SL_STEP_TMP, "/tmp");
}

static void mount_proc(struct confinement* c) {
  // A whole /proc is read-only in its superblock; what unprivileged processes may read of the machine is
  // covered.
  static const char* const kCovered[] = {"/proc/kcore",      "/proc/keys", "/proc/key-users",
                                         "/proc/timer_list", "/proc/kmsg", "/proc/sysrq-trigger",
                                         "/proc/kallsyms"};
  static const char* const kCoveredFolders[] = {"/proc/acpi", "/proc/bus", "/proc/scsi"};
  if (mount("proc", "/proc", "proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0) {
    lack(c, SL_STEP_PROC, "/proc");
    return;
  }
  for (size_t i = 0; i < sizeof(kCovered) / sizeof(kCovered[0]); ++i) {
    if (mount(SL_WORLD "/nothing", kCovered[i], NULL, MS_BIND, NULL) != 0 && errno != ENOENT) {
      lack(c, SL_STEP_MASK, kCovered[i]);
    }
  }
  for (size_t i = 0; i < sizeof(kCoveredFolders) / sizeof(kCoveredFolders[0]); ++i) {
    if (mount(SL_WORLD "/empty", kCoveredFolders[i], NULL, MS_BIND, NULL) != 0 && errno != ENOENT) {
      lack(c, SL_STEP_MASK, kCoveredFolders[i]);
    }
  }
}

static void build_root(struct confinement* c) {
  c->proc = open(SL_WORLD "/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
  c->mounts = open(SL_WORLD "/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  if (c->proc < 0 || c->mounts < 0) fail(SL_STEP_PROC, SL_WORLD "/proc");
  mount_tmp(c);
  mount_proc(c);
  // Covered and not unmounted, which would wait for a grace period of the kernel's RCU: some milliseconds.
  // Without rights there is no way under a cover.
  if (mount(SL_WORLD "/empty", SL_WORLD, NULL, MS_BIND, NULL) != 0) fail(SL_STEP_HIDE, SL_WORLD);
  if (chdir("/") != 0) fail(SL_STEP_HIDE, "/");
}

static void give_up_rights(struct confinement* c) {
  (void)umask(022);
  if (set_limits(c->request) != 0) fail(SL_STEP_LIMITS, "");
  if ((c->request->flags & SL_ROOTLESS) != 0 && enter_nested_user_namespace(c->request, c->proc) != 0) {
    lack(c, SL_STEP_NESTED_USER, "");
  }
  close(c->proc);
  if (lock_privileges() != 0) fail(SL_STEP_CAPABILITIES, "");
  if (take_identity(c->request) != 0) fail(SL_STEP_IDENTITY, "");
  // Nothing else of that uid may look into it, or into the worker that is forked from it.
  if (drop_capabilities() != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) fail(SL_STEP_CAPABILITIES, "");
}

void sl_confine(struct sl_task* task) {
  struct confinement c = {&task->request, 0, -1, -1, -1};
  (void)setsid();
  int joined = join_cgroups(task);
  int join_error = errno;
  if (arrange_descriptors(task) != 0) _exit(1);
  errno = join_error;
  if (joined != 0) fail(SL_STEP_CGROUP, "");

  int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
  struct sl_event forked = {.kind = SL_FORKED};
  if (pidfd < 0 || sl_send_event(SL_EVENTS_FD, &forked, &pidfd, 1) != 0) fail(SL_STEP_FORK, "pidfd");
  close(pidfd);

  enter_namespaces(&c);
  build_root(&c);
  give_up_rights(&c);
  if (load_seccomp() != 0) lack(&c, SL_STEP_SECCOMP, "");

  struct sl_event started = {.kind = SL_STARTED, .missing = c.missing};
  int fds[2] = {c.tmp, c.mounts};
  if (sl_send_event(SL_EVENTS_FD, &started, fds, 2) != 0) _exit(1);
  close(c.tmp);
  close(c.mounts);
}
