#!/bin/sh
# as_user.sh <program> [arguments]: runs it without root and without any capability, for tests of what an ordinary user
# can do. Exits 4 (skipped) where that cannot be tried.
[ "$(id -u)" -eq 0 ] || { echo "SKIPPED: this is no root that could become another user"; exit 4; }
drop="setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all"
$drop true 2>/dev/null || { echo "SKIPPED: setpriv cannot become another user here"; exit 4; }
$drop test -x "$1" || { echo "SKIPPED: another user cannot reach $1"; exit 4; }
$drop unshare --user true 2>/dev/null || { echo "SKIPPED: users may make no user namespaces here"; exit 4; }
unset XDG_RUNTIME_DIR
cd /tmp && exec $drop "$@"
