#!/usr/bin/env bash
# From a fresh clone to two functions answering on a running node.
set -euo pipefail

usage() {
  cat <<'END'
Usage: examples/quickstart.sh [--stay] [--port N] [--no-build]

Installs what is missing (Debian 12), builds Serverledge, starts a node, registers a Python and a JavaScript function,
invokes both and shows the answers. Needs neither Docker nor etcd, and root only to install packages. Run it as often
as you like.

  --stay     leave the node running at the end, and say how to stop it
  --port N   the port of the node's API (default: 1323, or any free one)
  --no-build take what has been built as it is; install nothing
  --help     this text
END
}

stay=false
make=true
port=
while [ $# -gt 0 ]; do
  case $1 in
    --stay) stay=true ;;
    --no-build) make=false ;;
    --port) port=${2:?--port needs a number}; shift ;;
    --port=*) port=${1#*=} ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 1 ;;
  esac
  shift
done
[[ -z $port || ($port =~ ^[0-9]{1,5}$ && $port -ge 1 && $port -le 65535) ]] ||
  { echo "quickstart: '$port' is not a port (1 to 65535)" >&2; exit 1; }

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/support/packages.sh
. tests/support/release_build.sh

build=build/release
bin=$build/bin
folder=
node=

step() { echo; echo "[$1/5] $2"; }
fail() { echo "quickstart: $*" >&2; exit 1; }

node_is_alive() { [ -n "$node" ] && kill -0 "$node" 2>/dev/null; }

# Asks the node to stop, and insists after its own drain time (10 s) has passed.
stop_node() {
  local tries
  node_is_alive || return 0
  kill -TERM "$node"
  for ((tries = 0; tries < 150; tries++)); do
    node_is_alive || break
    sleep 0.1
  done
  ! node_is_alive || kill -KILL "$node"
  wait "$node" 2>/dev/null || true
}

clean_up() {
  local status=$?
  trap - EXIT
  if [ $status -ne 0 ] && [ -s "$folder/node.log" ]; then
    { echo; echo "The end of the node's log:"; tail -n 30 "$folder/node.log" | sed 's/^/  | /'; } >&2
  fi
  stop_node
  [ -z "$folder" ] || rm -rf "$folder"
  exit $status
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The first of the given ports that nobody listens on; 0 stands for any.
free_port() {
  python3 - "$@" <<'END'
import socket, sys
for port in map(int, sys.argv[1:]):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = error.strerror
            continue
        sys.exit(print(probe.getsockname()[1]))
sys.exit(f"quickstart: port {port}: {reason}")
END
}

# Waits until the node says that it is ready; fails when it has ended or takes longer than two minutes.
wait_until_ready() {
  python3 - "$port" "$node" <<'END'
import os, sys, time, urllib.error, urllib.request
port, node = sys.argv[1], int(sys.argv[2])
deadline = time.monotonic() + 120
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
while time.monotonic() < deadline:
    try:
        os.kill(node, 0)
        if opener.open(f"http://127.0.0.1:{port}/readyz", timeout=2).status == 200:
            sys.exit(0)
    except ProcessLookupError:
        sys.exit("quickstart: the node has ended")
    except (urllib.error.URLError, OSError):
        time.sleep(0.05)
sys.exit("quickstart: the node was not ready within two minutes")
END
}

start_node() {
  folder=$(mktemp -d "${TMPDIR:-/tmp}/serverledge-quickstart.XXXXXX")
  if [ -n "$port" ]; then free_port "$port" >/dev/null; else port=$(free_port 1323 0); fi
  cat >"$folder/serverledge.yaml" <<END
api:
  listen: 127.0.0.1
  port: $port
store:
  path: $folder/store
END
  # In a session of its own, so that Ctrl-C here reaches this script alone and `--stay` outlives the terminal.
  setsid $bin/serverledge "$folder/serverledge.yaml" </dev/null >"$folder/node.log" 2>&1 &
  node=$!
  wait_until_ready
  echo "  it listens at http://127.0.0.1:$port"
}

cli() {
  echo "  $ $bin/serverledge-cli --port $port $*" >&2
  $bin/serverledge-cli --host 127.0.0.1 --port "$port" "$@"
}

register() { cli create --function "$1" --runtime "$2" --handler "$3" --memory 128 --src "$4" | sed 's/^/  /'; }

# Invokes a function, shows the answer, and checks that its greeting came back.
invoke() {
  cli invoke --function "$1" --param name:newcomer | tee "$folder/answer" | sed 's/^/  /'
  python3 - "$folder/answer" <<'END' || fail "$1 should have greeted the newcomer"
import json, sys
with open(sys.argv[1], encoding="utf-8") as file:
    answer = json.load(file)
sys.exit(not (answer["Success"] and "newcomer" in json.loads(answer["Result"])))
END
}

echo "Serverledge quickstart in $PWD"
step 1 "looking for what is needed"
if $make; then require_packages build run; fi
echo "  all there"

step 2 "building (a few minutes the first time)"
if $make; then build_release serverledge-server serverledge-cli; else echo "  left out"; fi

step 3 "starting a node"
start_node

step 4 "registering two functions"
register hello-python python314 hello.handler examples/functions/hello.py
register hello-javascript nodejs17ng hello examples/functions/hello.js

step 5 "invoking them"
invoke hello-python
invoke hello-javascript

cat <<END

Both answered. What to try next:
END
if $stay; then
  cat <<END
  curl -d '{"Params": {"name": "you"}}' http://127.0.0.1:$port/invoke/hello-python
  $bin/serverledge-cli --port $port status
  the next section of README.md: a first function of your own

The node is left running at http://127.0.0.1:$port, its log is $folder/node.log. When you are done:
  kill $node; rm -r $folder
END
  node=
  folder=
else
  cat <<END
  examples/quickstart.sh --stay              the same, and the node stays for you to play with
  $bin/serverledge-cli --help   what can be done with a node
  README.md                                  a first function of your own
END
fi
