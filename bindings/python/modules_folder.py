"""Prints the folder, below the prefix that is given, in which this Python looks for modules with native code."""

import sys
import sysconfig

schemes = sysconfig.get_scheme_names()
if "deb_system" in schemes and sys.argv[1] == "/usr":
    path = sysconfig.get_path("platlib", "deb_system", {"base": "", "platbase": ""})
elif "posix_local" in schemes:
    path = sysconfig.get_path("platlib", "posix_local", {"base": "", "platbase": ""}).removeprefix("/local")
else:
    path = sysconfig.get_path("platlib", "posix_prefix", {"base": "", "platbase": ""})
print(path.lstrip("/"))
