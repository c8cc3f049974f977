#!/usr/bin/env bash
# Makes the container images of this folder as local images, without a registry.
set -euo pipefail

usage() {
  cat <<'END'
Usage: examples/images/build.sh [--from IMAGE] [--fresh] [python310] [nodejs17] [base]

Makes serverledge-python310, serverledge-nodejs17 and serverledge-base, or only those named, in the Docker engine that
`docker` talks to (DOCKER_HOST). Needs that engine and Debian's archive, no registry: debootstrap makes a Debian root,
which becomes the image serverledge-debian:bookworm that the others are built on. Run it as often as you like; what is
there already is kept.

  --from IMAGE  build on this image instead (a Debian, e.g. debian:bookworm-slim from a registry); no debootstrap
  --fresh       make everything anew, with Debian's updates of today
  --help        this text

SERVERLEDGE_DEBIAN_MIRROR is the archive to use (default: http://deb.debian.org/debian, with its security updates).
http_proxy and https_proxy are honoured. Making the Debian root needs root or sudo; it downloads about 40 MB.
END
}

fail() { echo "build.sh: $*" >&2; exit 1; }
say() { echo "build.sh: $*"; }

from=
fresh=false
images=()
while [ $# -gt 0 ]; do
  case $1 in
    --from) from=${2:?--from needs the name of an image}; shift ;;
    --fresh) fresh=true ;;
    -h | --help) usage; exit 0 ;;
    python310 | nodejs17 | base) images+=("$1") ;;
    *) usage >&2; exit 1 ;;
  esac
  shift
done
[ ${#images[@]} -gt 0 ] || images=(python310 nodejs17 base)

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/support/packages.sh

suite=bookworm
default_mirror=http://deb.debian.org/debian
mirror=${SERVERLEDGE_DEBIAN_MIRROR:-$default_mirror}
debian=serverledge-debian:$suite
libexec=build/release/libexec/serverledge
folder=

clean_up() {
  local status=$?
  trap - EXIT
  [ -z "$folder" ] || as_root rm -rf --one-file-system "$folder" || true
  exit $status
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# run <what> <command...>: quiet, unless it fails.
run() {
  local what=$1
  shift
  "$@" >"$folder/log" 2>&1 || { tail -n 25 "$folder/log" | sed 's/^/  | /' >&2; fail "$what failed"; }
}

find_engine() {
  command -v docker >/dev/null || fail "there is no docker command; on Debian: apt-get install docker.io"
  docker version --format '{{.Server.Version}}' >"$folder/log" 2>&1 ||
    { tail -n 3 "$folder/log" | sed 's/^/  | /' >&2
      fail "no Docker engine answers at ${DOCKER_HOST:-its usual socket}; start it, or set DOCKER_HOST"; }
}

# What the Debian image was made from: it is made anew when that changes.
debian_stamp() { echo "1 $mirror $suite"; }

write_sources() {
  echo "deb $mirror $suite main"
  [ "$mirror" != $default_mirror ] || { echo "deb $mirror $suite-updates main"
    echo "deb http://deb.debian.org/debian-security $suite-security main"; }
}

# Removes from a root what no function needs: documentation, translations, what apt has downloaded.
slim() {
  local root=$1
  printf '%s\n' 'path-exclude /usr/share/doc/*' 'path-include /usr/share/doc/*/copyright' 'path-exclude /usr/share/man/*' \
    'path-exclude /usr/share/info/*' 'path-exclude /usr/share/locale/*' 'path-exclude /usr/share/lintian/*' |
    as_root tee "$root/etc/dpkg/dpkg.cfg.d/slim" >/dev/null
  printf '%s\n' 'APT::Install-Recommends "false";' 'Acquire::Languages "none";' |
    as_root tee "$root/etc/apt/apt.conf.d/slim" >/dev/null
  as_root find "$root/usr/share/doc" -mindepth 1 ! -type d ! -name copyright -delete
  as_root find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete
  as_root find "$root/usr/share/man" "$root/usr/share/info" "$root/usr/share/locale" "$root/usr/share/lintian" \
    "$root/var/cache" "$root/var/lib/apt/lists" "$root/var/log" -mindepth 1 ! -type d -delete
  # The names and the resolver of this machine are not the image's.
  as_root rm -f "$root/etc/resolv.conf" "$root/etc/hostname" "$root/etc/machine-id"
  # A package's scripts must not start services while an image is built.
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$root/usr/sbin/policy-rc.d" >/dev/null
  as_root chmod 755 "$root/usr/sbin/policy-rc.d"
}

make_debian() {
  local have
  have=$(docker image inspect --format '{{index .Config.Labels "serverledge.stamp"}}' $debian 2>/dev/null) || have=
  if ! $fresh && [ "$have" = "$(debian_stamp)" ]; then say "$debian is there"; return; fi
  command -v debootstrap >/dev/null || [ -x /usr/sbin/debootstrap ] ||
    fail "there is no debootstrap; on Debian: apt-get install debootstrap (or use --from with an image from a registry)"
  can_be_root || fail "making the Debian root needs root; run this as root or with sudo once, or use --from"
  say "making $debian from $mirror (a minute or two)"
  PATH=$PATH:/usr/sbin:/sbin run "debootstrap (is $mirror within reach?)" \
    as_root debootstrap --variant=minbase $suite "$folder/root" "$mirror"
  write_sources | as_root tee "$folder/root/etc/apt/sources.list" >/dev/null
  slim "$folder/root"
  say "importing it"
  as_root tar -C "$folder/root" --numeric-owner --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' -c . |
    run "docker import" docker import --change 'CMD ["bash"]' --change "LABEL serverledge.stamp=\"$(debian_stamp)\"" - $debian
  as_root rm -rf --one-file-system "$folder/root"
}

need_executor() {
  [ ! -x $libexec/serverledge-executor ] || return 0
  say "building serverledge-executor"
  [ -f build/release/build.ninja ] || run "cmake" cmake --preset release
  run "the build of serverledge-executor" cmake --build --preset release --target serverledge-executor
}

# build_image <name> <context>
build_image() {
  local options=(--build-arg "BASE=$from" --network host)
  ! $fresh || options+=(--no-cache)
  [ -z "${http_proxy-}" ] || options+=(--build-arg "http_proxy=$http_proxy")
  [ -z "${https_proxy-}" ] || options+=(--build-arg "https_proxy=$https_proxy")
  say "building serverledge-$1"
  run "docker build of serverledge-$1" docker build "${options[@]}" -t "serverledge-$1" \
    -f "examples/images/$1/Dockerfile" "$2"
}

mkdir -p build
folder=$(mktemp -d "$PWD/build/images.XXXXXX")
find_engine
if [ -z "$from" ]; then
  make_debian
  from=$debian
fi
for image in "${images[@]}"; do
  case $image in
    python310) build_image python310 apps/runtimes/python ;;
    nodejs17) build_image nodejs17 apps/runtimes/nodejs ;;
    base)
      need_executor
      mkdir "$folder/base"
      cp $libexec/serverledge-executor "$folder/base/"
      build_image base "$folder/base" ;;
  esac
done
docker image ls --format '{{.Repository}}:{{.Tag}} {{.Size}}' --filter 'reference=serverledge-*' | sort | sed 's/^/  /'
