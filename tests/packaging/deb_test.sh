#!/usr/bin/env bash
# Makes the Debian packages of the `release` build and takes them through their life in a fresh Debian 12.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tests/packaging/deb_test.sh [--no-lintian]

Makes the packages (build/release/packages/*.deb), checks them with lintian, and in a Debian root of its own (debootstrap,
kept as build/deb/base) installs them, runs a node as the user of the service, upgrades, removes (store and configuration
stay) and purges them (nothing stays). Needs root and Debian's archive; a few minutes.
END
}

lintian=true
case ${1-} in
  '') ;;
  --no-lintian) lintian=false ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 1 ;;
esac
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
work=$PWD/build/deb
packages=$PWD/build/release/packages
mirror=${SERVERLEDGE_DEBIAN_MIRROR:-http://deb.debian.org/debian}

say() { echo "deb: $*"; }
fail() { echo "deb: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "needs root, for a Debian root of its own"
mkdir -p "$work"

say "making the packages"
rm -rf "$packages"
(cd build/release && cpack -G DEB >"$work/cpack.log" 2>&1) || { tail -n 20 "$work/cpack.log"; fail "cpack failed"; }
mapfile -t made < <(find "$packages" -maxdepth 1 -name '*.deb' | sort)
[ ${#made[@]} -ge 3 ] || fail "expected three packages at least, got: ${made[*]}"
ls -sh "${made[@]}"

if $lintian; then
  say "lintian"
  lintian --fail-on error,warning --allow-root --profile debian --suppress-tags "$(grep -v '^#' "$here/lintian-suppressed" | paste -sd, -)" "${made[@]}"
fi

if [ ! -e "$work/base/done" ]; then
  say "making a Debian root (once; a minute or two)"
  rm -rf "$work/base"
  env DPKG_FORCE=unsafe-io debootstrap --variant=minbase bookworm "$work/base" "$mirror" >"$work/debootstrap.log" 2>&1 ||
    { tail -n 15 "$work/debootstrap.log" >&2; fail "debootstrap failed; is $mirror within reach?"; }
  touch "$work/base/done"
fi

# A copy, with the root of its mount namespace there: programs that make user namespaces must not be in a chroot.
root=$work/root
rm -rf "$root"
cp -a "$work/base" "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp "${made[@]}" "$here/deb_life.sh" "$root/tmp/"
say "in a fresh Debian"
# shellcheck disable=SC2016 # expanded by that shell
unshare --mount --pid --fork --kill-child bash -euc '
  mount --make-rprivate /
  mount --bind "$0" "$0"
  cd "$0"
  mount -t proc proc proc
  mount --rbind /sys sys
  mount --rbind /dev dev
  mkdir -p old
  pivot_root . old
  umount -l /old
  rmdir /old
  exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive bash /tmp/deb_life.sh
' "$root" || fail "see above; the root is kept as $root"
rm -rf "$root"
say "installed, ran, was removed and purged"
