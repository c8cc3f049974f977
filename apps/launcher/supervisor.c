#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "isolation.h"
#include "seccomp_filter.h"

struct supervisor {
  int control;
  int filter;  // compiled, in a memory file
  int pids;    // its own PID namespace
  int mounts;  // its own mount namespace
};

static char* const kEnvironment[] = {"PATH=/usr/local/bin:/usr/bin:/bin",
                                     "HOME=/tmp",
                                     "TMPDIR=/tmp",
                                     "LANG=C.UTF-8",
                                     "USER=function",
                                     "LOGNAME=function",
                                     NULL};

// An unprivileged launcher is not root in its user namespace: its rights pass an exec only as ambient ones.
static int keep_capabilities(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) != 0) return -1;
  data[0].inheritable = data[0].permitted;
  data[1].inheritable = data[1].permitted;
  if (syscall(SYS_capset, &header, data) != 0) return -1;
  for (unsigned capability = 0; capability < 64; ++capability) {
    if ((data[capability / 32].permitted >> (capability % 32) & 1U) == 0) continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0) return -1;
  }
  return 0;
}

static void become_zygote(const struct supervisor* s, struct sl_task* task) {
  enum { kControl = 3, kFilter = 4, kEvents = 5, kAbove = 64 };
  int events = fcntl(task->fds[0], F_DUPFD_CLOEXEC, kAbove);
  int control = fcntl(task->fds[1], F_DUPFD_CLOEXEC, kAbove);
  int filter = fcntl(s->filter, F_DUPFD_CLOEXEC, kAbove);
  sl_reset_signals();
  if (dup2(control, kControl) < 0 || dup2(filter, kFilter) < 0 || dup2(events, kEvents) < 0) _exit(1);
  (void)close_range(kEvents + 1, ~0U, 0);
  char* const arguments[] = {task->request.program, "-I", "/runtime/python/zygote.py", NULL};
  if ((task->request.flags & SL_ROOTLESS) != 0 && keep_capabilities() != 0) {
    sl_send_failure(kEvents, SL_STEP_CAPABILITIES, "");
    _exit(1);
  }
  execve(arguments[0], arguments, kEnvironment);
  sl_send_failure(kEvents, SL_STEP_EXEC, arguments[0]);
  _exit(1);
}

static void start_zygote(const struct supervisor* s, struct sl_task* task) {
  pid_t child = fork();
  if (child == 0) become_zygote(s, task);
  if (child < 0) sl_send_failure(task->fds[0], SL_STEP_FORK, "");
}

static void become_nodejs(struct sl_task* task) {
  sl_reset_signals();
  sl_confine(task);
  pid_t worker = fork();
  if (worker < 0) {
    sl_send_failure(SL_EVENTS_FD, SL_STEP_FORK, "");
    _exit(1);
  }
  if (worker > 0) sl_init(worker);
  sl_become_worker();
  char listener[16];
  (void)snprintf(listener, sizeof(listener), "%d", SL_LISTENER_FD);
  char* const arguments[] = {task->request.program, "/runtime/nodejs/worker.js", listener, NULL};
  execve(arguments[0], arguments, kEnvironment);
  _exit(127);
}

static void start_nodejs(const struct supervisor* s, struct sl_task* task) {
  if (sl_fork_init(task, s->pids) == 0) become_nodejs(task);
}

// Puts a function's code into an instance that was started without: made here, where all code is seen, moved
// there.
static void give_code(const struct supervisor* s, const struct sl_task* task) {
  char source[sizeof(SL_WORLD "/code/") + SL_CODE_MAX];
  (void)snprintf(source, sizeof(source), SL_WORLD "/code/%s", task->request.code);
  int tree = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  int result = tree < 0 ? -1 : setns(task->fds[1], CLONE_NEWNS);
  if (result == 0) {
    result = move_mount(tree, "", AT_FDCWD, "/app", MOVE_MOUNT_F_EMPTY_PATH);
    int saved = errno;
    if (setns(s->mounts, CLONE_NEWNS) != 0) _exit(1);  // lost: nothing that it did next would be right
    errno = saved;
  }
  if (result == 0) {
    sl_send_ready(task->fds[0], "");
  } else {
    sl_send_failure(task->fds[0], SL_STEP_CODE, task->request.code);
  }
  if (tree >= 0) close(tree);
}

static void serve(const struct supervisor* s, struct sl_task* task) {
  switch (task->request.operation) {
    case SL_ZYGOTE:
      start_zygote(s, task);
      break;
    case SL_NODEJS:
      start_nodejs(s, task);
      break;
    case SL_CODE:
      give_code(s, task);
      break;
    default:
      errno = EPROTO;
      sl_send_failure(task->fds[0], SL_STEP_PROTOCOL, "");
  }
}

static void fail(const struct supervisor* s, int step, const char* path) {
  sl_send_failure(s->control, step, path);
  _exit(1);
}

void supervise(int control, const struct template_options* options) {
  struct supervisor s = {control, -1, -1, -1};
  struct template_failure failure = {SL_STEP_NONE, ""};
  (void)prctl(PR_SET_NAME, "sl-supervisor", 0, 0, 0);
  (void)signal(SIGCHLD, SIG_IGN);  // the kernel reaps
  if (build_template_root(options, &failure) != 0) fail(&s, failure.step, failure.path);
  s.filter = compile_seccomp_filter();
  if (s.filter < 0 || sl_load_filter(s.filter) != 0) fail(&s, SL_STEP_FILTER, "");
  s.pids = open(SL_WORLD "/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
  s.mounts = open(SL_WORLD "/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  if (s.pids < 0 || s.mounts < 0) fail(&s, SL_STEP_PROC, SL_WORLD "/proc");
  sl_send_ready(control, "");
  for (;;) {
    struct sl_task task;
    int got = sl_receive(control, &task);
    if (got > 0) {
      serve(&s, &task);
      sl_close(&task);
    } else if (got == 0 || errno != EPROTO) {
      break;
    }
  }
  // The locks that it holds for the node must outlive every process that it started.
  (void)kill(-1, SIGKILL);
  while (waitpid(-1, NULL, 0) >= 0 || errno == EINTR) {
  }
  _exit(0);
}
