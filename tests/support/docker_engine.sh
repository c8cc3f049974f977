#!/usr/bin/env bash
# docker_engine.sh start|stop <folder>: a container engine for the tests, as a fixture of ctest.
#
# start writes <folder>/host: the address of an engine (as in DOCKER_HOST). One that answers at DOCKER_HOST or at the
# usual socket is used; otherwise Debian's dockerd is started, with its data, state and socket in <folder>, and stop ends
# it. What it has built stays in <folder>/data for the next run. The images of examples/images/build.sh are made there,
# unless that fails: then the tests that need them are skipped. Where there can be no engine, <folder>/missing says why
# and the tests are skipped.
set -euo pipefail

folder=$2
mkdir -p "$folder"
folder=$(realpath "$folder")
# A Unix socket's path has room for some hundred characters.
run=/run/serverledge-test-engine-$(sha256sum <<<"$folder" | head -c 12)

answers() { curl --silent --fail --max-time 5 ${2:+--unix-socket "$2"} "$1/_ping" >/dev/null; }

use_one_that_answers() {
  local host=${DOCKER_HOST:-unix:///var/run/docker.sock}
  case $host in
    unix://*) answers http://localhost "${host#unix://}" || return 1 ;;
    tcp://*) answers "http://${host#tcp://}" || return 1 ;;
    *) return 1 ;;
  esac
  echo "$host" >"$folder/host"
  echo "using the engine at $host"
}

# What a run before has made is kept, and brought up to date.
make_images() {
  local host
  host=$(cat "$folder/host")
  DOCKER_HOST=$host "$(dirname "$0")/../../examples/images/build.sh" ||
    echo "the images could not be made: tests that need them are skipped"
}

missing() {
  echo "$1" >"$folder/missing"
  echo "no container engine: $1"
  exit 0
}

start() {
  stop
  rm -f "$folder/host" "$folder/missing"
  use_one_that_answers && return
  command -v dockerd >/dev/null || missing "dockerd is not installed, and none answers"
  [ "$(id -u)" = 0 ] || missing "starting dockerd needs root, and none answers"
  mkdir -p "$run"
  setsid dockerd --data-root "$folder/data" --exec-root "$run/exec" --pidfile "$run/pid" --bridge none \
    --host "unix://$run/socket" >"$folder/log" 2>&1 9>&- &
  local pid=$!
  for _ in $(seq 600); do
    if answers http://localhost "$run/socket"; then
      echo "unix://$run/socket" >"$folder/host"
      echo "started dockerd, process $pid"
      return
    fi
    kill -0 "$pid" 2>/dev/null || missing "dockerd ends at its start: $(grep -m 1 'failed to start' "$folder/log" || tail -n 1 "$folder/log")"
    sleep 0.1
  done
  kill "$pid" || true
  missing "dockerd does not answer after a minute: see $folder/log"
}

stop() {
  [ -e "$run/pid" ] || return 0
  local pid
  pid=$(cat "$run/pid")
  # Not a process that has got the number of one that died.
  if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]; then
    kill "$pid" || true
    for _ in $(seq 300); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
  fi
  # What dockerd leaves mounted where it could not end by itself.
  umount --lazy "$run"/exec/netns/* 2>/dev/null || true
  rm -rf "$run"
}

case $1 in
  start)
    start
    make_images ;;
  stop) stop ;;
  *) exit 1 ;;
esac
