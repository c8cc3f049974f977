#!/bin/sh
# Makes a fresh Debian root (the argument) into one that boots without questions: run on the host, as root.
set -eu
root=$1
echo serverledge-vm >"$root/etc/hostname"
echo '127.0.0.1 localhost serverledge-vm' >"$root/etc/hosts"
: >"$root/etc/fstab"
chroot "$root" useradd --create-home --shell /bin/bash newcomer
# The user's own systemd runs without a login, as after `loginctl enable-linger`.
mkdir -p "$root/var/lib/systemd/linger"
touch "$root/var/lib/systemd/linger/newcomer"
# etcd is started by what sets up a cluster.
systemctl --root "$root" disable etcd.service
# What only makes the archive bigger, or works on its own while the tests run.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc "$root"/usr/share/man \
  "$root"/usr/share/locale "$root"/usr/share/info
for timer in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim man-db; do
  ln -sf /dev/null "$root/etc/systemd/system/$timer.timer"
done
