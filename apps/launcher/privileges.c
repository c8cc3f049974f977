#define _GNU_SOURCE
#include "privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { kMaxFilter = 4096, kLastCapability = 63 };
static struct sock_filter filter[kMaxFilter];
static unsigned short filter_length = 0;

int sl_load_filter(int fd) {
  ssize_t size = pread(fd, filter, sizeof(filter), 0);
  if (size < 0) return -1;
  if (size == 0 || size == (ssize_t)sizeof(filter) || size % (ssize_t)sizeof(filter[0]) != 0) {
    errno = EINVAL;
    return -1;
  }
  filter_length = (unsigned short)((size_t)size / sizeof(filter[0]));
  return 0;
}

int load_seccomp(void) {
  struct sock_fprog program = {.len = filter_length, .filter = filter};
  if (filter_length == 0) {
    errno = EINVAL;
    return -1;
  }
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : -1;
}

static int limit(__rlimit_resource_t resource, rlim_t value) {
  struct rlimit now;
  if (getrlimit(resource, &now) != 0) return -1;
  rlim_t both = value < now.rlim_max ? value : now.rlim_max;
  struct rlimit then = {both, both};
  return setrlimit(resource, &then);
}

int set_limits(const struct sl_request* request) {
  // 1 and not 0: nothing that small is written, and a core_pattern that is a pipe is run even at 0, but not
  // at 1.
  if (limit(RLIMIT_CORE, 1) != 0) return -1;
  if (limit(RLIMIT_NOFILE, request->max_files) != 0) return -1;
  if (limit(RLIMIT_FSIZE, request->tmp_bytes) != 0) return -1;
  if (limit(RLIMIT_MEMLOCK, 1U << 20U) != 0 || limit(RLIMIT_MSGQUEUE, 0) != 0) return -1;
  if (limit(RLIMIT_NICE, 0) != 0 || limit(RLIMIT_RTPRIO, 0) != 0) return -1;
  if (request->max_processes != 0 && limit(RLIMIT_NPROC, request->max_processes) != 0) return -1;
  struct rlimit stack = {8U << 20U, RLIM_INFINITY};
  struct rlimit now;
  if (getrlimit(RLIMIT_STACK, &now) != 0) return -1;
  stack.rlim_max = now.rlim_max;
  if (stack.rlim_cur > stack.rlim_max) stack.rlim_cur = stack.rlim_max;
  return setrlimit(RLIMIT_STACK, &stack);
}

static int write_at(int directory, const char* name, const char* text) {
  int fd = openat(directory, name, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t size = (ssize_t)strlen(text);
  ssize_t written = write(fd, text, (size_t)size);
  int saved = errno;
  close(fd);
  errno = saved;
  return written == size ? 0 : -1;
}

int enter_nested_user_namespace(const struct sl_request* request, int proc) {
  char map[64];
  if (unshare(CLONE_NEWUSER) != 0) return -1;
  (void)snprintf(map, sizeof(map), "%u %u 1", request->uid, request->uid);
  if (write_at(proc, "uid_map", map) != 0) return -1;
  (void)snprintf(map, sizeof(map), "%u %u 1", request->gid, request->gid);
  return write_at(proc, "gid_map", map);
}

int lock_privileges(void) {
  for (int capability = 0; capability <= kLastCapability; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
      if (errno == EINVAL) break;  // past the last one that this kernel knows
      return -1;
    }
  }
  return prctl(PR_SET_SECUREBITS,
               SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
                   SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
               0, 0, 0);
}

int take_identity(const struct sl_request* request) {
  if ((request->flags & SL_ROOTLESS) == 0 && setgroups(0, NULL) != 0) return -1;
  if (setresgid(request->gid, request->gid, request->gid) != 0) return -1;
  return setresuid(request->uid, request->uid, request->uid);
}

int drop_capabilities(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2];
  memset(none, 0, sizeof(none));
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return -1;
  if (syscall(SYS_capset, &header, none) != 0) return -1;
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
