// The system calls that functions may make.
#pragma once

// Compiles the filter into a new memory file, as raw BPF; its descriptor, or -1 with errno.
int compile_seccomp_filter(void);
