#define _GNU_SOURCE
#include "template_root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "isolation.h"

// All paths without a leading slash are relative to the new root, which is the working directory until the
// pivot.
#define TRY(action, step_name, path_name)   \
  do {                                      \
    if ((action) != 0) {                    \
      set_failure(f, step_name, path_name); \
      return -1;                            \
    }                                       \
  } while (0)

static void set_failure(struct template_failure* f, int step, const char* path) {
  int saved = errno;
  f->step = step;
  (void)snprintf(f->path, sizeof(f->path), "%s", path);
  errno = saved;
}

static int make_folders(const char* path, mode_t mode) {
  char part[PATH_MAX];
  if (strlen(path) >= sizeof(part)) {
    errno = ENAMETOOLONG;
    return -1;
  }
  (void)snprintf(part, sizeof(part), "%s", path);
  for (char* slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    if (mkdir(part, 0755) != 0 && errno != EEXIST) return -1;
    *slash = '/';
  }
  return mkdir(part, mode) == 0 || errno == EEXIST ? 0 : -1;
}

static int write_file(const char* path, mode_t mode, const void* text, size_t size) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  int result = write(fd, text, size) == (ssize_t)size && fchmod(fd, mode) == 0 ? 0 : -1;
  int saved = errno;
  close(fd);
  errno = saved;
  return result;
}

// A small file of the machine, if it is there: its content, so that it costs no mount. Larger ones are left
// out.
static int copy_file(const char* from, const char* to) {
  static char content[1U << 20U];
  int fd = open(from, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  size_t have = 0;
  ssize_t got = 1;
  while (got > 0 && have < sizeof(content)) {
    got = read(fd, content + have, sizeof(content) - have);
    if (got > 0) have += (size_t)got;
  }
  close(fd);
  return got == 0 ? write_file(to, 0444, content, have) : 0;
}

static int bind_tree(const char* from, const char* to, uint64_t attributes) {
  struct mount_attr attr = {.attr_set = attributes};
  int tree = open_tree(AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (tree < 0) return -1;
  int result = mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr));
  if (result == 0) result = move_mount(tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH);
  int saved = errno;
  close(tree);
  errno = saved;
  return result;
}

enum { kReadOnly = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };

static int bind_folder(const char* from, const char* to, struct template_failure* f) {
  TRY(make_folders(to, 0755), SL_STEP_ROOT, to);
  TRY(bind_tree(from, to, kReadOnly), SL_STEP_BIND, from);
  return 0;
}

static int bind_system(struct template_failure* f) {
  static const char* const kLinks[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
  if (bind_folder("/usr", "usr", f) != 0) return -1;
  for (size_t i = 0; i < sizeof(kLinks) / sizeof(kLinks[0]); ++i) {
    char target[PATH_MAX];
    struct stat info;
    if (lstat(kLinks[i], &info) != 0) continue;
    if (S_ISDIR(info.st_mode)) {
      if (bind_folder(kLinks[i], kLinks[i] + 1, f) != 0) return -1;
      continue;
    }
    ssize_t size = readlink(kLinks[i], target, sizeof(target) - 1);
    if (size < 0) continue;
    target[size] = 0;
    TRY(symlink(target, kLinks[i] + 1), SL_STEP_ROOT, kLinks[i]);
  }
  return 0;
}

static int write_users(const struct template_options* o) {
  static char text[192U * 1024U];
  size_t size = (size_t)snprintf(text, sizeof(text), "root:x:0:0:root:/:/usr/sbin/nologin\n");
  for (uint32_t i = 0; i < o->uid_count && size + 96 < sizeof(text); ++i) {
    size += (size_t)snprintf(text + size, sizeof(text) - size, "function%u:x:%u:%u::/tmp:/usr/sbin/nologin\n",
                             i, o->first_uid + i, o->first_uid + i);
  }
  size += (size_t)snprintf(text + size, sizeof(text) - size, "nobody:x:65534:65534::/:/usr/sbin/nologin\n");
  if (write_file("etc/passwd", 0444, text, size) != 0) return -1;
  size = (size_t)snprintf(text, sizeof(text), "root:x:0:\n");
  for (uint32_t i = 0; i < o->uid_count && size + 64 < sizeof(text); ++i) {
    size += (size_t)snprintf(text + size, sizeof(text) - size, "function%u:x:%u:\n", i, o->first_uid + i);
  }
  size += (size_t)snprintf(text + size, sizeof(text) - size, "nogroup:x:65534:\n");
  return write_file("etc/group", 0444, text, size);
}

static int fill_etc(const struct template_options* o, struct template_failure* f) {
  static const char kNames[] = "passwd: files\ngroup: files\nhosts: files dns\n";
  static const char kHosts[] = "127.0.0.1 localhost\n::1 localhost\n";
  static const char* const kCopied[] = {"/etc/ld.so.cache",     "/etc/ld.so.conf", "/etc/localtime",
                                        "/etc/timezone",        "/etc/mime.types", "/etc/os-release",
                                        "/etc/ssl/openssl.cnf", "/etc/services",   "/etc/protocols"};
  static const char* const kBound[] = {"/etc/ssl/certs", "/etc/alternatives", "/etc/pki/ca-trust/extracted",
                                       "/etc/pki/tls/certs"};
  TRY(make_folders("etc/ssl", 0755), SL_STEP_ROOT, "/etc");
  TRY(write_users(o), SL_STEP_ROOT, "/etc/passwd");
  TRY(write_file("etc/nsswitch.conf", 0444, kNames, sizeof(kNames) - 1), SL_STEP_ROOT, "/etc/nsswitch.conf");
  for (size_t i = 0; i < sizeof(kCopied) / sizeof(kCopied[0]); ++i) {
    TRY(copy_file(kCopied[i], kCopied[i] + 1), SL_STEP_ROOT, kCopied[i]);
  }
  for (size_t i = 0; i < sizeof(kBound) / sizeof(kBound[0]); ++i) {
    if (access(kBound[i], R_OK | X_OK) == 0 && bind_folder(kBound[i], kBound[i] + 1, f) != 0) return -1;
  }
  if (o->host_network) {
    TRY(copy_file("/etc/hosts", "etc/hosts"), SL_STEP_ROOT, "/etc/hosts");
    TRY(copy_file("/etc/resolv.conf", "etc/resolv.conf"), SL_STEP_ROOT, "/etc/resolv.conf");
  } else {
    TRY(write_file("etc/hosts", 0444, kHosts, sizeof(kHosts) - 1), SL_STEP_ROOT, "/etc/hosts");
  }
  return 0;
}

// A node of our own where that is allowed, else the machine's, bound.
static int make_device(const char* path, unsigned minor_number) {
  if (mknod(path + 1, S_IFCHR | 0666, makedev(1, minor_number)) == 0) return chmod(path + 1, 0666);
  if (errno == EEXIST) return -1;
  if (write_file(path + 1, 0666, "", 0) != 0) return -1;
  return bind_tree(path, path + 1, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
}

static int fill_dev(struct template_failure* f) {
  static const struct {
    const char* path;
    unsigned minor_number;
  } kDevices[] = {
      {"/dev/null", 3}, {"/dev/zero", 5}, {"/dev/full", 7}, {"/dev/random", 8}, {"/dev/urandom", 9}};
  static const struct {
    const char *path, *target;
  } kLinks[] = {{"dev/fd", "/proc/self/fd"},
                {"dev/stdin", "/proc/self/fd/0"},
                {"dev/stdout", "/proc/self/fd/1"},
                {"dev/stderr", "/proc/self/fd/2"},
                {"dev/shm", "/tmp"}};  // POSIX semaphores and shared memory, within the bounds of /tmp
  TRY(make_folders("dev", 0755), SL_STEP_ROOT, "/dev");
  for (size_t i = 0; i < sizeof(kDevices) / sizeof(kDevices[0]); ++i) {
    TRY(make_device(kDevices[i].path, kDevices[i].minor_number), SL_STEP_DEVICES, kDevices[i].path);
  }
  for (size_t i = 0; i < sizeof(kLinks) / sizeof(kLinks[0]); ++i) {
    TRY(symlink(kLinks[i].target, kLinks[i].path), SL_STEP_ROOT, kLinks[i].path);
  }
  return 0;
}

// What instances lose sight of before any code of a function runs in them.
static int fill_world(const struct template_options* o, struct template_failure* f) {
  // A mount of its own, so that one detach takes all of it away.
  TRY(mkdir(".world", 0), SL_STEP_ROOT, SL_WORLD);
  TRY(mount("world", ".world", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,mode=0700"), SL_STEP_ROOT,
      SL_WORLD);
  TRY(write_file(".world/nothing", 0, "", 0), SL_STEP_ROOT, SL_WORLD);
  TRY(mkdir(".world/empty", 0), SL_STEP_ROOT, SL_WORLD);
  TRY(mkdir(".world/proc", 0700), SL_STEP_ROOT, SL_WORLD);
  TRY(mount("proc", ".world/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), SL_STEP_PROC, "/proc");
  return bind_folder(o->code, ".world/code", f);
}

// The root of this process may be a folder somewhere in the mount namespace, after a chroot. What is done to
// all mounts is done from the namespace's own root, and whoever enters a namespace arrives there: the new
// root must take its place, not that of the folder. -1 where that cannot be had, which without a chroot is no
// matter.
static int own_mounts(void) { return open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC); }

static int make_mounts_private(void) {
  int mounts = own_mounts();
  int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int result = -1;
  if (mounts >= 0 && root >= 0 && setns(mounts, CLONE_NEWNS) == 0) {
    result = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (result == 0) result = fchdir(root) == 0 && chroot(".") == 0 ? 0 : -1;
  } else {
    result = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
  }
  int saved = errno;
  if (mounts >= 0) close(mounts);
  if (root >= 0) close(root);
  errno = saved;
  return result;
}

// From the folder that is to be the root, with the namespace's root as this process's own.
static int leave_chroot(void) {
  int mounts = own_mounts();
  int folder = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int result = folder < 0 ? -1 : 0;
  if (result == 0 && mounts >= 0 && setns(mounts, CLONE_NEWNS) == 0) result = fchdir(folder);
  int saved = errno;
  if (mounts >= 0) close(mounts);
  if (folder >= 0) close(folder);
  errno = saved;
  return result;
}

static int start_root(const struct template_options* o, struct template_failure* f) {
  static const char* const kFolders[] = {"app", "proc", "tmp", "run", "var", "home"};
  TRY(unshare(CLONE_NEWNS), SL_STEP_MOUNT_NAMESPACE, "");
  TRY(make_mounts_private(), SL_STEP_MOUNT_NAMESPACE, "/");
  TRY(mount("root", o->mount_point, "tmpfs", MS_NOSUID, "size=16m,nr_inodes=4096,mode=0755"), SL_STEP_ROOT,
      o->mount_point);
  TRY(chdir(o->mount_point), SL_STEP_ROOT, o->mount_point);
  for (size_t i = 0; i < sizeof(kFolders) / sizeof(kFolders[0]); ++i) {
    TRY(mkdir(kFolders[i], 0755), SL_STEP_ROOT, kFolders[i]);
  }
  TRY(symlink("/tmp", "var/tmp"), SL_STEP_ROOT, "/var/tmp");
  return 0;
}

static int finish_root(struct template_failure* f) {
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
  TRY(leave_chroot(), SL_STEP_PIVOT, "/");
  TRY(syscall(SYS_pivot_root, ".", ".") != 0, SL_STEP_PIVOT, "/");
  TRY(umount2(".", MNT_DETACH), SL_STEP_PIVOT, "/");  // the old root lies over the new one
  TRY(chdir("/"), SL_STEP_PIVOT, "/");
  TRY(mount_setattr(AT_FDCWD, "/", 0, &attr, sizeof(attr)), SL_STEP_PIVOT, "/");
  return 0;
}

int build_template_root(const struct template_options* options, struct template_failure* f) {
  if (start_root(options, f) != 0 || bind_system(f) != 0 || fill_etc(options, f) != 0 || fill_dev(f) != 0)
    return -1;
  if (bind_folder(options->libexec, "runtime", f) != 0) return -1;
  for (int i = 0; i < options->bind_count; ++i) {
    if (bind_folder(options->binds[i], options->binds[i] + 1, f) != 0) return -1;
  }
  return fill_world(options, f) != 0 ? -1 : finish_root(f);
}
