// serverledge-launcher: started by a node, with the control socket as descriptor 3 and the node's locks above
// it. Makes a PID namespace (and, unprivileged, a user namespace), leaves its PID 1 in it, and exits.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "isolation.h"
#include "supervisor.h"

enum { kControl = 3 };

struct launch {
  struct template_options root;
  int rootless;
  uint32_t protocol;
};

static void fail(int step, const char* detail) {
  sl_send_failure(kControl, step, detail);
  _exit(1);
}

static uint32_t number(const char* text) { return (uint32_t)strtoul(text, NULL, 10); }

static struct launch parse(int argc, char** argv) {
  static const struct option kOptions[] = {
      {"protocol", required_argument, NULL, 'v'},  {"mount-point", required_argument, NULL, 'm'},
      {"code", required_argument, NULL, 'c'},      {"libexec", required_argument, NULL, 'l'},
      {"bind", required_argument, NULL, 'b'},      {"first-uid", required_argument, NULL, 'u'},
      {"uid-count", required_argument, NULL, 'n'}, {"rootless", no_argument, NULL, 'r'},
      {"host-network", no_argument, NULL, 'h'},    {NULL, 0, NULL, 0}};
  struct launch launch;
  memset(&launch, 0, sizeof(launch));
  struct template_options* root = &launch.root;
  int option;
  while ((option = getopt_long(argc, argv, "", kOptions, NULL)) != -1) {
    switch (option) {
      case 'v':
        launch.protocol = number(optarg);
        break;
      case 'm':
        root->mount_point = optarg;
        break;
      case 'c':
        root->code = optarg;
        break;
      case 'l':
        root->libexec = optarg;
        break;
      case 'u':
        root->first_uid = number(optarg);
        break;
      case 'n':
        root->uid_count = number(optarg);
        break;
      case 'r':
        launch.rootless = 1;
        break;
      case 'h':
        root->host_network = 1;
        break;
      case 'b':
        if (root->bind_count == (int)(sizeof(root->binds) / sizeof(root->binds[0])))
          launch.protocol = 0;
        else
          root->binds[root->bind_count++] = optarg;
        break;
      default:
        launch.protocol = 0;
    }
  }
  if (!root->mount_point || !root->code || !root->libexec || root->uid_count == 0) launch.protocol = 0;
  return launch;
}

static int write_text(const char* path, const char* text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  int result = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
  int saved = errno;
  close(fd);
  errno = saved;
  return result;
}

// One id is all that an unprivileged user may map.
static void enter_user_namespace(uint32_t inside) {
  char map[64];
  unsigned uid = geteuid();
  unsigned gid = getegid();
  if (unshare(CLONE_NEWUSER) != 0) fail(SL_STEP_USER_NAMESPACE, "");
  (void)snprintf(map, sizeof(map), "%u %u 1", inside, uid);
  if (write_text("/proc/self/uid_map", map) != 0) fail(SL_STEP_USER_NAMESPACE, "/proc/self/uid_map");
  if (write_text("/proc/self/setgroups", "deny") != 0) fail(SL_STEP_USER_NAMESPACE, "/proc/self/setgroups");
  (void)snprintf(map, sizeof(map), "%u %u 1", inside, gid);
  if (write_text("/proc/self/gid_map", map) != 0) fail(SL_STEP_USER_NAMESPACE, "/proc/self/gid_map");
}

int main(int argc, char** argv) {
  struct launch launch = parse(argc, argv);
  if (launch.protocol != SL_PROTOCOL) {
    static const char kUsage[] =
        "serverledge-launcher is started by a Serverledge node of the same version.\n";
    (void)!write(2, kUsage, sizeof(kUsage) - 1);
    errno = EPROTO;
    fail(SL_STEP_PROTOCOL, "");
  }
  (void)umask(022);
  if (launch.rootless) enter_user_namespace(launch.root.first_uid);
  if (unshare(CLONE_NEWPID) != 0) fail(SL_STEP_PID_NAMESPACE, "");
  pid_t child = fork();
  if (child < 0) fail(SL_STEP_FORK, "");
  if (child > 0) _exit(0);
  supervise(kControl, &launch.root);
}
