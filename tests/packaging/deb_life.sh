#!/usr/bin/env bash
# Run by deb_test.sh in a Debian root of its own, with the packages in /tmp.
set -euo pipefail

say() { echo "  $*"; }
fail() { echo "deb: $*" >&2; exit 1; }
apt() { apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::options::=--force-unsafe-io "$@" >/tmp/apt.log 2>&1 || { tail -n 30 /tmp/apt.log; fail "apt-get $*"; }; }
# What is there of ours.
remains() {
  find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/cache/apt -o -path /var/log \) -prune -o \
    -name '*serverledge*' -print
  getent passwd serverledge || true
  getent group serverledge || true
}
# As the service's unit does; in the background, where $! is the node then.
as_service() {
  exec setpriv --reuid=serverledge --regid=serverledge --init-groups \
    env XDG_STATE_HOME=/var/lib XDG_RUNTIME_DIR=/run HOME=/var/lib/serverledge "$@"
}

[ -z "$(remains)" ] || fail "the root is not fresh: $(remains)"
apt update
say "install"
apt install --no-install-recommends /tmp/serverledge_*.deb /tmp/libserverledge0_*.deb
getent passwd serverledge >/dev/null || fail "the user is missing"
[ -L /etc/systemd/system/multi-user.target.wants/serverledge.service ] || fail "the service is not enabled"
[ ! -e /etc/systemd/system/multi-user.target.wants/serverledge-lb.service ] || fail "the load balancer is enabled"
serverledge --check-config /etc/serverledge/serverledge-conf.yaml
for page in man1/serverledge-cli.1 man1/serverledge-bench.1 man8/serverledge.8; do
  [ -s /usr/share/man/$page.gz ] || fail "$page is missing"
done
ldconfig -p | grep -q 'libserverledge.so.0 .*=> /lib' || ldconfig -p | grep -q libserverledge.so.0 || fail "the library is unknown to ldconfig"

say "a node as the user of the service"
# What systemd makes before it starts the unit.
install -d -o serverledge -g serverledge -m 700 /var/lib/serverledge /run/serverledge
as_service serverledge /etc/serverledge/serverledge-conf.yaml >/tmp/node.log 2>&1 &
node=$!
for ((i = 0; ; ++i)); do
  serverledge-cli status >/dev/null 2>&1 && break
  if ! kill -0 $node 2>/dev/null || [ $i -ge 300 ]; then cat /tmp/node.log; fail "the node does not answer"; fi
  sleep 0.2
done
printf 'def handler(params, context):\n    return params["name"]\n' >/tmp/greet.py
serverledge-cli create -f greet --src /tmp/greet.py --handler greet.handler >/dev/null
answer=$(serverledge-cli invoke -f greet --param name:Ada)
[[ $answer == *Ada* ]] || { cat /tmp/node.log; fail "the function answered: $answer"; }
kill $node
wait $node || true

say "the library for programs and for Python"
apt install --no-install-recommends /tmp/libserverledge-dev_*.deb
[ -e /usr/include/serverledge/assembly/open_node.hpp ] || fail "the headers are missing"
python=
if compgen -G '/tmp/python3-serverledge_*.deb' >/dev/null; then
  python=python3-serverledge
  apt install --no-install-recommends /tmp/python3-serverledge_*.deb
  answer=$(cd / && as_service python3 -c '
import serverledge
with serverledge.Node({"container.pool.memory": 256}) as node:
    node.create("greet", handler="greet.handler", source="/tmp/greet.py", memory=64)
    print(node.invoke("greet", {"name": "Eve"}).result)' 2>&1)
  [ "$answer" = Eve ] || fail "a node in Python said: $answer"
fi
apt purge libserverledge-dev $python

say "upgrade: what was changed stays"
sed -i 's/^container.pool.memory: .*/container.pool.memory: 2048/' /etc/serverledge/serverledge-conf.yaml
apt install --reinstall --no-install-recommends /tmp/serverledge_*.deb
grep -q 'container.pool.memory: 2048' /etc/serverledge/serverledge-conf.yaml || fail "the configuration was overwritten"

say "remove: store and configuration stay"
apt remove serverledge
[ ! -e /usr/bin/serverledge ] || fail "the node is still there"
[ -n "$(find /var/lib/serverledge -type f)" ] || fail "the store is gone"
[ -e /etc/serverledge/serverledge-conf.yaml ] || fail "the configuration is gone"

say "install again: the function is still there"
apt install --no-install-recommends /tmp/serverledge_*.deb
as_service serverledge /etc/serverledge/serverledge-conf.yaml >/tmp/node.log 2>&1 &
node=$!
for ((i = 0; ; ++i)); do
  answer=$(serverledge-cli invoke -f greet --param name:Bob 2>&1) && break
  if ! kill -0 $node 2>/dev/null || [ $i -ge 300 ]; then cat /tmp/node.log; fail "the node does not answer: $answer"; fi
  sleep 0.2
done
[[ $answer == *Bob* ]] || fail "the function answered: $answer"
kill $node
wait $node || true

say "purge: nothing stays"
apt purge serverledge libserverledge0
[ -z "$(remains)" ] || fail "left behind:
$(remains)"
