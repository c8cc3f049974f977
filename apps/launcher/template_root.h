// The root that all instances of a node start from, in the launcher's own mount namespace.
#pragma once

#include <stdint.h>

struct template_options {
  const char* mount_point;  // an empty folder to build on
  const char* code;         // holds one folder per code archive
  const char* libexec;      // the workers, seen as /runtime
  const char* binds[16];    // more folders to show read-only at their own place (an interpreter outside /usr)
  int bind_count;
  int host_network;    // show the machine's name resolution
  uint32_t first_uid;  // users to name in /etc/passwd
  uint32_t uid_count;
};

// What failed: a step of launch_protocol.h, the path, and errno.
struct template_failure {
  int step;
  char path[96];
};

// Enters a new mount namespace and makes the template its root. 0, or -1 with `failure` filled.
int build_template_root(const struct template_options* options, struct template_failure* failure);
