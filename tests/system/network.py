"""Hosts with addresses of their own, each in a network namespace, on a network that exists inside this process tree only."""

import contextlib
import fcntl
import os
import socket
import struct
import subprocess
import sys

from router import Router

TUNSETIFF = 0x400454CA
IFF_TUN_WITHOUT_HEADER = 0x0001 | 0x1000
INSIDE = "SERVERLEDGE_SYSTEM_TEST_INSIDE"
SKIPPED = 4


def skip(why):
    print(f"SKIPPED: {why}", flush=True)
    sys.exit(SKIPPED)


def enter():
    """Runs this script anew in network and mount namespaces of its own: nothing that it makes outlives it, or is seen by others."""
    if os.environ.get(INSIDE) == "1":
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    if os.geteuid() != 0:
        skip("network namespaces need root")
    if not os.path.exists("/dev/net/tun"):
        skip("there is no /dev/net/tun")
    os.makedirs("/run/netns", exist_ok=True)
    os.environ[INSIDE] = "1"
    command = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, *sys.argv]
    os.execvp(command[0], command)


def packed(address):
    return socket.inet_aton(address)


class Host:
    def __init__(self, name, address):
        self.name = name
        self.address = address

    def command(self, *arguments):
        """The command as it is run on this host."""
        return ["nsenter", f"--net=/run/netns/{self.name}", *arguments]


class Network:
    """`client` is where the test itself is."""

    def __init__(self, hosts):
        """hosts: name -> address; all in 10.77.0.0/16."""
        self._stack = contextlib.ExitStack()
        self.hosts = {name: Host(name, address) for name, address in hosts.items()}
        devices = {}
        for index, host in enumerate(self.hosts.values()):
            devices[packed(host.address)] = self._attach(host, f"tun{index}")
        devices[packed("10.77.255.1")] = self._attach(None, "tunclient")
        self._router = Router(devices)
        self._stack.callback(self._router.close)

    def _attach(self, host, device):
        descriptor = os.open("/dev/net/tun", os.O_RDWR)
        self._stack.callback(os.close, descriptor)
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN_WITHOUT_HEADER))

        def ip(*arguments):
            subprocess.run(["ip", *arguments], check=True)

        inside = []
        if host is not None:
            ip("netns", "add", host.name)
            self._stack.callback(subprocess.run, ["ip", "netns", "del", host.name], check=False)
            ip("link", "set", device, "netns", host.name)
            inside = ["-n", host.name]
            ip(*inside, "link", "set", "lo", "up")
        ip(*inside, "addr", "add", f"{host.address if host else '10.77.255.1'}/16", "dev", device)
        ip(*inside, "link", "set", device, "up", "txqueuelen", "10000")
        return descriptor

    def close(self):
        self._stack.close()

    def _ways(self, one, other):
        a, b = packed(self.hosts[one].address), packed(self.hosts[other].address)
        return (a, b), (b, a)

    def delay(self, one, other, round_trip):
        """A round trip between two hosts takes so many seconds more."""
        self._router.change(lambda rules: rules.delays.update({way: round_trip / 2 for way in self._ways(one, other)}))

    def cut(self, one, other):
        """Nothing passes between two hosts any more, and nobody is told."""
        self._router.change(lambda rules: rules.blocked.update(self._ways(one, other)))

    def heal(self, one, other):
        self._router.change(lambda rules: rules.blocked.difference_update(self._ways(one, other)))

    def lose_udp(self, share):
        def alter(rules):
            rules.udp_loss = share

        self._router.change(alter)
