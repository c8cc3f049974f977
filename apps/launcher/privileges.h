// The parts of sl_confine that take rights away. Each returns 0, or -1 with errno.
#pragma once

#include "isolation.h"

int set_limits(const struct sl_request* request);
// A user namespace of its own with the same single id in it. `proc` is an O_PATH descriptor of the caller's
// folder in a /proc that can be written to.
int enter_nested_user_namespace(const struct sl_request* request, int proc);
// The uid and gid of the request and no other groups (which an unprivileged launcher cannot drop).
int take_identity(const struct sl_request* request);
int drop_capabilities(void);
// What dropping needs capabilities for; before take_identity.
int lock_privileges(void);
int load_seccomp(void);
