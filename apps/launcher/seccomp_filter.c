#define _GNU_SOURCE
#include "seccomp_filter.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// Names, since architectures differ in what they have; one that is not there is skipped. Whatever is in
// neither list gets ENOSYS, as from an older kernel, so that libraries fall back; what is refused by name
// gets EPERM.
// clang-format off
static const char* const kAllowed[] = {
    // Files
    "access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup", "dup2",
    "dup3", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2",
    "fchown", "fchownat", "fcntl", "fdatasync", "fgetxattr", "flistxattr", "flock", "fremovexattr",
    "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate", "futimesat", "getcwd", "getdents", "getdents64",
    "getxattr", "lchown", "lgetxattr", "link", "linkat", "listxattr", "llistxattr", "lremovexattr", "lseek",
    "lsetxattr", "lstat", "mkdir", "mkdirat", "mknod", "mknodat", "newfstatat", "open", "openat", "openat2",
    "pipe", "pipe2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead",
    "readlink", "readlinkat", "readv", "removexattr", "rename", "renameat", "renameat2", "rmdir", "sendfile",
    "setxattr", "splice", "stat", "statfs", "statx", "symlink", "symlinkat", "sync_file_range", "tee",
    "truncate", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes", "vmsplice", "write", "writev",
    // Waiting
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd",
    "eventfd2", "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "poll", "ppoll",
    "pselect6", "select", "signalfd", "signalfd4", "timerfd_create", "timerfd_gettime", "timerfd_settime",
    // Memory
    "brk", "get_mempolicy", "madvise", "membarrier", "memfd_create", "mincore", "mlock", "mlock2", "mlockall",
    "mmap", "mprotect", "mremap", "msync", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free",
    "pkey_mprotect",
    // Processes and threads
    "execve", "execveat", "exit", "exit_group", "fork", "futex", "futex_waitv", "get_robust_list",
    "get_thread_area", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrlimit", "getrusage",
    "getsid", "gettid", "pidfd_open", "pidfd_send_signal", "prctl", "prlimit64", "rseq",
    "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr",
    "sched_getparam", "sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity", "sched_setattr",
    "sched_setparam", "sched_setscheduler", "sched_yield", "set_robust_list", "set_thread_area",
    "set_tid_address", "setpgid", "setpriority", "setrlimit", "setsid", "vfork", "wait4", "waitid", "waitpid",
    "arch_prctl", "getcpu", "ioprio_get",
    // Identity: reading it, and changing it to what one already has
    "capget", "capset", "getegid", "geteuid", "getgid", "getgroups", "getresgid", "getresuid", "getuid",
    "setfsgid", "setfsuid", "setgid", "setgroups", "setregid", "setresgid", "setresuid", "setreuid", "setuid",
    // Signals
    "alarm", "getitimer", "kill", "pause", "restart_syscall", "rt_sigaction", "rt_sigpending",
    "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
    "rt_tgsigqueueinfo", "setitimer", "sigaltstack", "tgkill", "tkill",
    // Time
    "clock_getres", "clock_gettime", "clock_nanosleep", "gettimeofday", "nanosleep", "time", "timer_create",
    "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "times",
    // Sockets; which ones is decided below
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom",
    "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
    // System V, in a namespace of its own
    "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl",
    "shmdt", "shmget",
    // What the machine is
    "getrandom", "sysinfo", "uname",
    // Devices; the calls that put input into a terminal are refused before
    "ioctl",
};
// clang-format on

// clang-format off
static const char* const kRefused[] = {
    "_sysctl", "acct", "add_key", "adjtimex", "afs_syscall", "bpf", "chroot", "clock_adjtime",
    "clock_settime", "create_module", "delete_module", "fanotify_init", "fanotify_mark", "finit_module",
    "fsconfig", "fsmount", "fsopen", "fspick", "get_kernel_syms", "init_module", "io_uring_enter",
    "io_uring_register", "io_uring_setup", "ioperm", "iopl", "ioprio_set", "kcmp", "kexec_file_load",
    "kexec_load", "keyctl", "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self",
    "lookup_dcookie", "mbind", "migrate_pages", "modify_ldt", "mount", "mount_setattr", "move_mount",
    "move_pages", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink",
    "name_to_handle_at", "nfsservctl", "open_by_handle_at", "open_tree", "perf_event_open", "personality",
    "pidfd_getfd", "pivot_root", "process_madvise", "process_mrelease", "process_vm_readv",
    "process_vm_writev", "ptrace", "query_module", "quotactl", "quotactl_fd", "reboot", "request_key",
    "seccomp", "set_mempolicy", "set_mempolicy_home_node", "setdomainname", "sethostname", "setns",
    "settimeofday", "stime", "swapoff", "swapon", "sync", "syncfs", "sysfs", "syslog", "umount", "umount2",
    "unshare", "uselib", "userfaultfd", "ustat", "vhangup",
};
// clang-format on

static const uint64_t kNamespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

static int add_names(scmp_filter_ctx filter, uint32_t action, const char* const* names, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    int number = seccomp_syscall_resolve_name(names[i]);
    if (number < 0) continue;  // not of this architecture
    int result = seccomp_rule_add(filter, action, number, 0);
    if (result != 0) return result;
  }
  return 0;
}

// What the macros of libseccomp for 32 bits give; those leave a member out, of which clang warns.
static struct scmp_arg_cmp argument(unsigned position, enum scmp_compare compare, uint32_t a, uint32_t b) {
  return (struct scmp_arg_cmp){.arg = position, .op = compare, .datum_a = a, .datum_b = b};
}

// Stream and datagram sockets of Unix and the Internet with their own protocols: no raw, packet, netlink,
// vsock.
static int add_sockets(scmp_filter_ctx filter) {
  static const uint32_t kDomains[] = {AF_UNIX, AF_INET, AF_INET6};
  static const uint32_t kTypes[] = {SOCK_STREAM, SOCK_DGRAM};
  static const uint32_t kProtocols[2][2] = {{0, 6 /* TCP */}, {0, 17 /* UDP */}};
  enum { kTypeMask = 0xf };  // the rest are SOCK_CLOEXEC and SOCK_NONBLOCK
  int result = 0;
  for (size_t d = 0; d < 3 && result == 0; ++d) {
    for (size_t t = 0; t < 2 && result == 0; ++t) {
      for (size_t p = 0; p < 2 && result == 0; ++p) {
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3,
                                  argument(0, SCMP_CMP_EQ, kDomains[d], 0),
                                  argument(1, SCMP_CMP_MASKED_EQ, kTypeMask, kTypes[t]),
                                  argument(2, SCMP_CMP_EQ, kProtocols[t][p], 0));
      }
    }
  }
  // Others are told as a kernel without them would, which libraries expect (getifaddrs without netlink).
  if (result == 0) {
    result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                              argument(0, SCMP_CMP_GT, AF_INET6, 0));
  }
  if (result != 0) return result;
  return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
                          argument(0, SCMP_CMP_EQ, AF_UNIX, 0));
}

static int add_rules(scmp_filter_ctx filter) {
  int result = add_names(filter, SCMP_ACT_ALLOW, kAllowed, sizeof(kAllowed) / sizeof(kAllowed[0]));
  if (result == 0) {
    result = add_names(filter, SCMP_ACT_ERRNO(EPERM), kRefused, sizeof(kRefused) / sizeof(kRefused[0]));
  }
  if (result == 0) result = add_sockets(filter);
  // Threads and processes, not namespaces. The flags of clone3 lie in memory, where a filter cannot see them:
  // ENOSYS makes the C library use clone.
  if (result == 0) {
    result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, kNamespaces, 0));
  }
  return result;
}

// Instructions before the compiled ones. The kernel takes the low 32 bits of an ioctl's request, libseccomp
// compares all 64: a refusal written with it could be passed by setting a high bit.
static int write_terminal_rules(int fd) {
  static const unsigned kRequestLow = offsetof(struct seccomp_data, args) + sizeof(uint64_t);
  const struct sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ioctl, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kRequestLow),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
  };
  return write(fd, rules, sizeof(rules)) == (ssize_t)sizeof(rules) ? 0 : -EIO;
}

static int compile(scmp_filter_ctx filter) {
  // A function that uses another architecture's calls (32-bit ones) means harm.
  int result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (result == 0) result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (result == 0) result = add_rules(filter);
  if (result != 0) {
    errno = -result;
    return -1;
  }
  int fd = memfd_create("seccomp", MFD_CLOEXEC);
  if (fd < 0) return -1;
  result = write_terminal_rules(fd);
  if (result == 0) result = seccomp_export_bpf(filter, fd);
  if (result == 0) return fd;
  close(fd);
  errno = -result;
  return -1;
}

int compile_seccomp_filter(void) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
  if (filter == NULL) {
    errno = ENOMEM;
    return -1;
  }
  int fd = compile(filter);
  int saved = errno;
  seccomp_release(filter);
  errno = saved;
  return fd;
}
