#!/usr/bin/env bash
# Boots a Debian 12 with systemd and unified cgroups under qemu and runs a node, its limits and the isolation tests there.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tests/vm/run.sh [--shell | --only IDENTITY] [--timeout SECONDS] [--fresh]

A fresh Debian 12 has systemd and cgroups v2, which the machine that builds may not have. This boots Debian's own kernel
with a Debian root under qemu (in software: no /dev/kvm needed), puts the `release` build into it and runs there what a
newcomer would, as root and as an ordinary user, each from a plain shell and as a systemd service:

  - examples/quickstart.sh with the node as built; nothing may stay behind (processes, cgroups, mounts, files)
  - the limits: memory, processes, time
  - the tests of the sandbox, with their hostile functions, and of control groups

Then it does what an operator would (guest/deployment.py): install the packages, and set up a cluster by Ansible.

  --shell      a root shell in it instead ("newcomer" is the ordinary user; end it with `poweroff`, or Ctrl-A X)
  --only I     only as I: root, root-service, user or user-service; or only what an operator does: deployment
  --timeout S  give up after S seconds (default: 10800; on an idle machine it takes some twenty minutes)
  --fresh      make the Debian root anew; it is kept otherwise, until what it is made from changes
  --help       this text

The first run downloads about 150 MB and takes a few minutes to make the root, under build/vm; root is needed for that.
END
}

shell=false
only=
timeout=10800
fresh=false
while [ $# -gt 0 ]; do
  case $1 in
    --shell) shell=true ;;
    --only) only=${2:?--only needs an identity}; shift ;;
    --timeout) timeout=${2:?--timeout needs a number of seconds}; shift ;;
    --fresh) fresh=true ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 1 ;;
  esac
  shift
done

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/support/packages.sh

vm=$PWD/build/vm
release=build/release
# What runs in the machine; all else is tested where it is built.
targets=(serverledge-server serverledge-cli runtime_test sandbox_conformance_test sandbox_test)
mirror=${SERVERLEDGE_DEBIAN_MIRROR:-http://deb.debian.org/debian}

say() { echo "vm: $*"; }
fail() { echo "vm: $*" >&2; exit 1; }

[ "$(uname -m)" = x86_64 ] || fail "this test knows x86_64 machines only, and this is $(uname -m)"

# The Debian root, without anything of ours but the way in. Kept: $vm/root.cpio and $vm/vmlinuz, with a stamp of what they
# were made from.
make_root() {
  local packages stamp kernel
  packages=$({ echo systemd systemd-sysv dbus dbus-user-session libpam-systemd procps python3 nodejs
    # what examples/deploy/ansible installs, and what runs it: the machine has no network (and debootstrap knows no virtual packages)
    echo adduser ansible-core python3-cffi-backend python3-apt etcd-server etcd-client curl; packages_for libraries; } |
    tr '\n ' ',,' | sed 's/,*$//')
  stamp="$mirror $packages $(cat tests/vm/guest/init tests/vm/guest/prepare.sh | sha256sum)"
  if ! $fresh && [ "$(cat "$vm/stamp" 2>/dev/null)" = "$stamp" ]; then return; fi

  can_be_root || fail "making the Debian root needs root; run this once as root, or with sudo"
  as_root rm -rf "$vm"
  mkdir -p "$vm"
  say "making a Debian root (once; a minute or two)"
  # Nothing here has to survive a loss of power; waiting for disks is most of the time.
  as_root env DPKG_FORCE=unsafe-io debootstrap --variant=minbase --include="$packages" bookworm "$vm/root" "$mirror" >"$vm/debootstrap.log" 2>&1 ||
    { tail -n 15 "$vm/debootstrap.log" >&2; fail "debootstrap failed; is $mirror within reach?"; }

  say "fetching Debian's kernel"
  kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2 }')
  (cd "$vm" && apt-get download -q "${kernel:-linux-image-cloud-amd64}" >kernel.log 2>&1) ||
    { tail -n 5 "$vm/kernel.log" >&2; fail "cannot download the kernel $kernel (apt-get update may help)"; }
  dpkg-deb --fsys-tarfile "$vm"/linux-image-*.deb | tar -x -O --wildcards './boot/vmlinuz-*' >"$vm/vmlinuz"
  rm "$vm"/linux-image-*.deb

  say "packing it"
  as_root tests/vm/guest/prepare.sh "$vm/root" >"$vm/prepare.log" 2>&1 ||
    { tail -n 15 "$vm/prepare.log" >&2; fail "preparing the root failed"; }
  as_root cp tests/vm/guest/init "$vm/root/init"
  (cd "$vm/root" && as_root find . -xdev -print0 | as_root cpio -0 -o -H newc --quiet) >"$vm/root.cpio"
  as_root rm -rf "$vm/root"
  echo "$stamp" >"$vm/stamp"
}

# What is ours, at the same absolute path as here (tests know it), as a second archive that the kernel unpacks over the
# first. Without debugging symbols, which are most of the size.
make_overlay() {
  local overlay=$vm/overlay target
  rm -rf "$overlay"
  target=$overlay$PWD
  mkdir -p "$target/$release" "$overlay/etc/systemd/system/multi-user.target.wants"
  cp -r docs examples tests "$target/"
  cp -r $release/bin $release/libexec "$target/$release/"
  find "$target/$release" -type f -exec strip --strip-debug {} + 2>/dev/null || true  # scripts it refuses
  if $with_packages; then cp -r $release/packages "$target/$release/"; fi
  sed "s|@CHECKOUT@|$PWD|" tests/vm/guest/serverledge-vm.service >"$overlay/etc/systemd/system/serverledge-vm.service"
  ln -s ../serverledge-vm.service "$overlay/etc/systemd/system/multi-user.target.wants/"
  (cd "$overlay" && find . -mindepth 1 -print0 | cpio -0 -o -H newc --quiet -R 0:0) >"$vm/overlay.cpio"
  cat "$vm/root.cpio" "$vm/overlay.cpio" >"$vm/initrd"
}

# qemu with our kernel and root: machine <kernel parameters> <qemu options...>, into the array `machine`.
machine() {
  local parameters="rdinit=/init mitigations=off console=ttyS0 panic=-1 quiet systemd.mask=serial-getty@ttyS0.service $1"
  shift
  machine=(qemu-system-x86_64 -accel 'tcg,thread=multi' -cpu max -smp 2 -m 3584 -nodefaults -display none -no-reboot
    -kernel "$vm/vmlinuz" -initrd "$vm/initrd" -append "$parameters" "$@")
}

# The machine's first serial port is its console, the second carries what the checks print.
run_tests() {
  local status=0
  machine "serverledge.run=${only:-all}" -serial "file:$vm/console.log" -serial stdio
  say "booting (its console: $vm/console.log)"
  timeout --foreground "$timeout" "${machine[@]}" </dev/null | sed -u 's/\r$//' | tee "$vm/results" || status=$?
  local passed failed skipped
  passed=$(grep -c '^PASS ' "$vm/results") || true
  failed=$(grep -c '^FAIL ' "$vm/results") || true
  skipped=$(grep -c '^SKIP ' "$vm/results") || true
  if ! grep -qx 'DONE' "$vm/results"; then
    failed=$((failed + 1))
    { echo; echo "FAIL the machine did not come to its end (qemu: $status, limit $timeout s). Its console ended with:"
      tail -n 30 "$vm/console.log" | tr -d '\r' | sed 's/^/  | /'; } >&2
  fi
  grep '^FAIL ' "$vm/results" >&2 || true
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" -eq 0 ]
}

require_packages build run test vm
with_packages=false
if ! $shell && [[ -z $only || $only = deployment ]]; then
  with_packages=true
  targets=(all)  # of which they are made
fi
make_root
say "building release"
cmake --preset release -DSERVERLEDGE_BUILD_TESTS=ON >"$vm/configure.log" 2>&1 || { tail -n 20 "$vm/configure.log" >&2; exit 1; }
NINJA_STATUS='  [%f/%t] ' cmake --build --preset release --target "${targets[@]}"
if $with_packages; then
  say "making the packages"
  rm -rf $release/packages
  (cd $release && cpack -G DEB) >"$vm/cpack.log" 2>&1 || { tail -n 20 "$vm/cpack.log" >&2; fail "cpack failed"; }
fi
make_overlay
if $shell; then
  machine "serverledge.run=shell systemd.debug_shell=ttyS0" -chardev stdio,mux=on,id=console -serial chardev:console -mon console
  exec "${machine[@]}"
else
  run_tests
fi
