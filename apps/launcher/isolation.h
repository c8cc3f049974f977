// The isolation object: what turns a freshly forked process into an instance. Used by the launcher, and by
// the Python zygote through ctypes. Single-threaded callers only. It allocates nothing and holds no state but
// the seccomp filter.
#pragma once

#include <sys/types.h>

#include "runtime/sandbox/launch_protocol.h"

#define SL_EXPORT __attribute__((visibility("default")))

// A request with the descriptors that came with it, -1 where none did.
struct sl_task {
  struct sl_request request;
  int32_t fds[SL_MAX_FDS];
};

// Where the launcher keeps what only it may see: the code of all functions, a view of its own processes.
#define SL_WORLD "/.world"

// Descriptors of an instance's worker.
enum { SL_EVENTS_FD = 3, SL_LISTENER_FD = 4 };

// Waits for the next request. 1: `task` is filled; 0: the other end is closed; -1: errno says what (EPROTO:
// no request).
SL_EXPORT int sl_receive(int control, struct sl_task* task);
// Closes the task's descriptors.
SL_EXPORT void sl_close(struct sl_task* task);

// Sends an event, never blocking. `fds` may be null. -1 with errno if the other end is gone.
SL_EXPORT int sl_send_event(int events, const struct sl_event* event, const int* fds, int count);
// Sends SL_FAILED with errno as it stands, or SL_READY.
SL_EXPORT void sl_send_failure(int events, int step, const char* detail);
SL_EXPORT void sl_send_ready(int events, const char* detail);

// Reads the seccomp filter (raw BPF) that instances of this process load. -1 with errno.
SL_EXPORT int sl_load_filter(int fd);

// Forks PID 1 of a new PID namespace, under v2 into its control group; `own` is the caller's PID namespace.
// Like fork, but nothing that was registered with the C library or an interpreter to run at a fork does. On
// failure it tells SL_FAILED and returns -1.
SL_EXPORT pid_t sl_fork_init(struct sl_task* task, int own);

// In that child: enters v1 cgroups, namespaces and root, drops every right and loads the filter, telling
// SL_FORKED and SL_STARTED. On failure it tells SL_FAILED and does not return. Afterwards SL_EVENTS_FD and
// SL_LISTENER_FD are the only descriptors beyond the standard ones, which are /dev/null.
SL_EXPORT void sl_confine(struct sl_task* task);

// Every signal to what it does by default, none blocked.
SL_EXPORT void sl_reset_signals(void);
// The instance's PID 1, once `worker` is forked: reaps, and ends the instance when the worker exits or stops.
SL_EXPORT void sl_init(pid_t worker) __attribute__((noreturn));
// The worker, after the fork: lets go of what is the init's.
SL_EXPORT void sl_become_worker(void);
