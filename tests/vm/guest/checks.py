#!/usr/bin/env python3
"""What must hold on a Debian 12 with systemd, for one identity (the argument): prints a line PASS, FAIL or SKIP for each."""
import os, subprocess, sys
identity = sys.argv[1]
print("PASS", identity, os.getuid(), open("/proc/self/cgroup").read().strip(), flush=True)
print(open("/sys/fs/cgroup" + open("/proc/self/cgroup").read().strip()[3:] + "/cgroup.controllers").read())
print(subprocess.run(["bash", "-c", "ls -ld /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); id; pwd; env; unshare -Urm id"], capture_output=True, text=True))
