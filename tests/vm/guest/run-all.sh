#!/bin/bash
# Runs the checks inside the machine: as root and as an ordinary user, each from something like a plain shell and as a
# service that systemd has given a part of the cgroup tree (Delegate=yes). And what an operator does.
cd "$(dirname "${BASH_SOURCE[0]}")/../../.." || exit
wanted=$(sed -n 's/.*serverledge\.run=\([a-z-]*\).*/\1/p' /proc/cmdline)
run=(systemd-run --quiet --wait --pipe --collect --same-dir)
home=(-E HOME=/home/newcomer -E XDG_RUNTIME_DIR=/run/user/1000)
bus=DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus

# The user's own systemd, which lingers: up once this returns, and with it /run/user/1000 and its bus.
systemctl start user@1000.service

for identity in root root-service user user-service; do
  [ "$wanted" = all ] || [ "$wanted" = "$identity" ] || continue
  checks=(python3 tests/vm/guest/checks.py "$identity")
  case $identity in
    root) "${run[@]}" "${checks[@]}" ;;
    root-service) "${run[@]}" -p Delegate=yes "${checks[@]}" ;;
    user) "${run[@]}" --uid=newcomer "${home[@]}" "${checks[@]}" ;;
    user-service)
      runuser -u newcomer -- env XDG_RUNTIME_DIR=/run/user/1000 "$bus" \
        "${run[@]}" --user "${home[@]}" -p Delegate=yes "${checks[@]}" ;;
  esac || echo "FAIL $identity: the checks ended with $?"
done
if [ "$wanted" = all ] || [ "$wanted" = deployment ]; then
  "${run[@]}" python3 tests/vm/guest/deployment.py deployment || echo "FAIL deployment: the checks ended with $?"
fi
echo DONE
