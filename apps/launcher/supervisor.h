// The launcher's PID 1: serves the node's requests until the node is gone, and with it everything it started.
#pragma once

#include "template_root.h"

// `control` is the node's socket. Never returns.
void supervise(int control, const struct template_options* options) __attribute__((noreturn));
