#!/usr/bin/env bash
# An edge node and a cloud node on this machine: under load the edge hands calls to the cloud.
set -euo pipefail

usage() {
  cat <<'END'
Usage: examples/offloading/run.sh [--seconds N] [--stay] [--no-build]

Installs what is missing (Debian 12, with its etcd), builds Serverledge, starts etcd, a small node at the edge and a larger one in
the cloud, and loads the edge: first with what it can do alone, then with more. Shows how many calls ran where. Needs
root only to install packages; all that it starts is gone at its end.

  --seconds N  how long each load lasts (default: 5)
  --stay       leave all running at the end, and say how to stop it
  --no-build   take what has been built as it is; install nothing
  --help       this text
END
}

seconds=5
stay=false
make=true
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=${2:?--seconds needs a number}; shift ;;
    --seconds=*) seconds=${1#*=} ;;
    --stay) stay=true ;;
    --no-build) make=false ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 1 ;;
  esac
  shift
done
[[ $seconds =~ ^[1-9][0-9]{0,3}$ ]] || { echo "offloading: '$seconds' is not a number of seconds" >&2; exit 1; }

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/support/packages.sh
. tests/support/release_build.sh

build=build/release
bin=$build/bin
folder=
processes=()

step() { echo; echo "[$1/5] $2"; }
fail() { echo "offloading: $*" >&2; exit 1; }

# Asks what was started to stop, the last one first, and insists after the nodes' own drain time has passed.
stop_all() {
  local index process tries
  for ((index = ${#processes[@]} - 1; index >= 0; index--)); do
    process=${processes[index]}
    kill -TERM "$process" 2>/dev/null || continue
    for ((tries = 0; tries < 150; tries++)); do
      kill -0 "$process" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  done
}

clean_up() {
  local status=$? log
  trap - EXIT
  if [ $status -ne 0 ] && [ -n "$folder" ]; then
    for log in "$folder"/*.log; do
      [ -s "$log" ] || continue
      { echo; echo "The end of $(basename "$log"):"; tail -n 15 "$log" | sed 's/^/  | /'; } >&2
    done
  fi
  stop_all
  [ -z "$folder" ] || rm -rf "$folder"
  exit $status
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# That many ports on which nobody listens.
free_ports() {
  python3 - "$1" <<'END'
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(one.getsockname()[1] for one in sockets))
END
}

# wait_for <port> <path> <process> <name>: until it answers 200; two minutes at most.
wait_for() {
  python3 - "$@" <<'END'
import os, sys, time, urllib.error, urllib.request
port, path, process, name = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
deadline = time.monotonic() + 120
while time.monotonic() < deadline:
    try:
        os.kill(int(process), 0)
        if opener.open(f"http://127.0.0.1:{port}{path}", timeout=2).status == 200:
            sys.exit(0)
    except ProcessLookupError:
        sys.exit(f"offloading: {name} has ended")
    except (urllib.error.URLError, OSError):
        time.sleep(0.05)
sys.exit(f"offloading: {name} was not ready within two minutes")
END
}

# In a session of its own, so that Ctrl-C here reaches this script alone: start <name> <command...>
start() {
  local name=$1
  shift
  setsid "$@" </dev/null >"$folder/$name.log" 2>&1 &
  processes+=($!)
}

start_etcd() {
  local own=http://127.0.0.1:$etcd_port peer=http://127.0.0.1:$etcd_peer_port
  # Where etcd calls the processor unsupported it wants to be told that this is known.
  ETCD_UNSUPPORTED_ARCH=arm64 start etcd etcd --name example --data-dir "$folder/etcd" --listen-client-urls "$own" --advertise-client-urls "$own" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "example=$peer"
  wait_for "$etcd_port" /health "${processes[-1]}" etcd
}

# start_node <name> <port> <settings...>
start_node() {
  local name=$1 port=$2
  shift 2
  {
    printf '%s\n' "etcd.address: 127.0.0.1:$etcd_port" "registry.node.id: $name" "registry.udp.port: 0" "registry.nearby.interval: 1" \
      "api.listen: 127.0.0.1" "api.port: $port" "store.path: $folder/$name" "metrics.enabled: true" "sandbox.stock.python: 0" \
      "sandbox.stock.nodejs: 0" "$@"
  } >"$folder/$name.yaml"
  start "$name" $bin/serverledge "$folder/$name.yaml"
  wait_for "$port" /readyz "${processes[-1]}" "the node $name"
}

# How many calls have run at a node: its counter of this function.
ran_at() {
  python3 - "$1" <<'END'
import re, sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
text = opener.open(f"http://127.0.0.1:{sys.argv[1]}/metrics", timeout=10).read().decode()
print(int(sum(float(value) for value in re.findall(r'^completed_count\{[^}]*function="wait"[^}]*\} (\S+)', text, re.M))))
END
}

# load <connections> <what it shows>: at the edge; how many calls ran where.
load() {
  local edge cloud
  edge=$(ran_at "$edge_port") cloud=$(ran_at "$cloud_port")
  echo "  $2"
  # Refused calls (429) count as failures there; they belong to an overload.
  $bin/serverledge-bench --port "$edge_port" --function wait --params '{"ms": 50}' --connections "$1" --duration "$seconds" >"$folder/bench" || [ $? -eq 2 ]
  sed 's/^/    /' "$folder/bench"
  at_edge=$(($(ran_at "$edge_port") - edge)) in_cloud=$(($(ran_at "$cloud_port") - cloud))
  echo "    -> $at_edge calls ran at the edge, $in_cloud were offloaded to the cloud"
}

echo "Serverledge: offloading from an edge node to the cloud, in $PWD"
step 1 "looking for what is needed"
if $make; then require_packages build run cluster; fi
command -v etcd >/dev/null || fail "there is no etcd (Debian: apt-get install etcd-server)"
echo "  all there"

step 2 "building (a few minutes the first time)"
if $make; then build_release serverledge-server serverledge-cli serverledge-bench; else echo "  left out"; fi

step 3 "starting etcd, the edge and the cloud"
folder=$(mktemp -d "${TMPDIR:-/tmp}/serverledge-offloading.XXXXXX")
read -r etcd_port etcd_peer_port edge_port cloud_port < <(free_ports 4)
start_etcd
start_node cloud "$cloud_port" "registry.area: CLOUD" "container.pool.memory: 2048"
# Memory for two containers: the third call at a time finds none.
start_node edge "$edge_port" "registry.area: EDGE" "registry.remote.area: CLOUD" "scheduler.policy: edgecloud" "container.pool.memory: 256"
echo "  etcd at 127.0.0.1:$etcd_port, the edge at http://127.0.0.1:$edge_port, the cloud at http://127.0.0.1:$cloud_port"

step 4 "registering a function at the edge: the cloud knows it too"
$bin/serverledge-cli --port "$edge_port" create --function wait --runtime python314 --handler wait.handler --memory 128 \
  --src examples/offloading/wait.py | sed 's/^/  /'
$bin/serverledge-cli --port "$cloud_port" list | sed 's/^/  /'

step 5 "loading the edge, $seconds s each time"
load 1 "one call at a time, which the edge can do:"
alone=$at_edge
load 8 "eight at a time, for which it has no room:"

[ "$alone" -gt 0 ] || fail "the edge should have run calls by itself"
[ "$at_edge" -gt 0 ] || fail "the edge should have gone on running calls"
[ "$in_cloud" -gt 0 ] || fail "calls should have been offloaded"

cat <<END

Calls that the edge had no room for ran in the cloud, and came back by the edge. What to try next:
END
if $stay; then
  cat <<END
  curl -d '{"Params": {"ms": 10}}' http://127.0.0.1:$edge_port/invoke/wait     look at ExecutionNode
  curl http://127.0.0.1:$edge_port/metrics | grep offload
  the same with "CanDoOffloading": false                                    never leaves the edge

All is left running; logs and settings are in $folder. When you are done:
  kill ${processes[*]}; rm -r $folder
END
  processes=()
  folder=
else
  cat <<END
  examples/offloading/run.sh --stay   the same, and all stays for you to play with
  docs/cluster.md                     areas, policies, and what happens when nodes fail
END
fi
