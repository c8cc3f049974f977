// What the node, the launcher's PID 1, the zygote and an instance's init say to each other: one fixed-size
// message per packet of a SOCK_SEQPACKET socket, with descriptors by SCM_RIGHTS. Both ends are of one build
// and on one machine, so the layout is the compiler's. Shared by C and C++.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SL_PROTOCOL = 1, SL_MAX_FDS = 8, SL_ENTRANCE = 2, SL_CODE_MAX = 80, SL_PATH_MAX = 256 };

// What the node asks for. An instance starts unspecialised: without code, with a worker that stands by.
// Descriptors, in this order: SL_PYTHON (to the zygote), SL_NODEJS (to PID 1): events, listener, then the
// entrances of `cgroup_count` control groups. SL_ZYGOTE (to PID 1): events, the zygote's control socket.
// SL_CODE (to PID 1): events, the mount namespace to put the code into. `events` is where the answers to this
// request go; it is closed by whoever has given the last one.
enum sl_operation { SL_PYTHON = 1, SL_NODEJS = 2, SL_ZYGOTE = 3, SL_CODE = 4 };

enum sl_flag {
  SL_HOST_NETWORK = 1,  // keep the node's network instead of an empty one of its own
  SL_UNSAFE = 2,        // go on without what the machine does not grant, and report it
  SL_ROOTLESS = 4,      // in a user namespace of one id: each instance gets its own below the launcher's
  SL_UNIFIED = 8,       // the entrance is the folder of a v2 group, to be born in; else `tasks` of v1 groups
  SL_INSIDE = 16,       // set on the way, in an instance that was born in its group
};

struct sl_request {
  uint32_t protocol;
  uint32_t operation;
  uint32_t flags;
  uint32_t cgroup_count;
  uint32_t uid;
  uint32_t gid;
  uint32_t max_processes;  // RLIMIT_NPROC; 0: bounded otherwise
  uint32_t max_files;      // RLIMIT_NOFILE
  uint64_t tmp_bytes;      // of /tmp, and of a file
  uint64_t tmp_inodes;
  char code[SL_CODE_MAX];     // SL_CODE: the folder below the code folder to mount on /app
  char program[SL_PATH_MAX];  // SL_ZYGOTE, SL_NODEJS: the interpreter
};

enum sl_event_kind {
  SL_READY = 1,    // PID 1: the template root stands; zygote: the modules are imported; SL_CODE: mounted
  SL_FORKED = 2,   // an instance's init lives; descriptor: its pidfd
  SL_STARTED = 3,  // it is confined; descriptors: its /tmp and its mounts. `missing` holds what it lacks
  SL_FAILED = 4,   // `step` failed with `error`
  SL_ENDED = 5,    // the worker ended: `status` as waitpid gives it
};

// What is done in setting up, to name what failed.
enum sl_step {
  SL_STEP_NONE,
  SL_STEP_PROTOCOL,
  SL_STEP_USER_NAMESPACE,
  SL_STEP_PID_NAMESPACE,
  SL_STEP_MOUNT_NAMESPACE,
  SL_STEP_ROOT,
  SL_STEP_BIND,
  SL_STEP_DEVICES,
  SL_STEP_PROC,
  SL_STEP_PIVOT,
  SL_STEP_FILTER,
  SL_STEP_FORK,
  SL_STEP_EXEC,
  SL_STEP_CGROUP,
  SL_STEP_NAMESPACES,
  SL_STEP_NETWORK,
  SL_STEP_CGROUP_NAMESPACE,
  SL_STEP_CODE,
  SL_STEP_TMP,
  SL_STEP_MASK,
  SL_STEP_HIDE,
  SL_STEP_LIMITS,
  SL_STEP_NESTED_USER,
  SL_STEP_IDENTITY,
  SL_STEP_CAPABILITIES,
  SL_STEP_SECCOMP,
  SL_STEP_COUNT
};

struct sl_event {
  uint32_t protocol;
  uint32_t kind;
  uint32_t step;
  int32_t error;  // errno
  int32_t status;
  uint32_t missing;  // bits 1 << sl_step
  char detail[96];   // a path, or nothing
};

#ifdef __cplusplus
}
#endif
