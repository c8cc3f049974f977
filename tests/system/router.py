"""Carries packets between hosts, with delays and faults, in a process of its own.

Each host has a TUN device, of which this process holds the other end: every packet between two hosts passes here. That needs
nothing of the kernel but TUN, and a fault is one line."""

import heapq
import multiprocessing
import os
import random
import select
import time

UDP = 17


class Rules:
    def __init__(self):
        self.delays = {}  # (source, destination) -> seconds, one way
        self.blocked = set()  # (source, destination)
        self.udp_loss = 0.0


def _serve(devices, commands):
    """devices: address (4 bytes) -> file descriptor."""
    rules = Rules()
    chance = random.Random(7)
    waiting = []  # (when, number, descriptor, packet)
    number = 0
    poller = select.epoll()
    for descriptor in devices.values():
        os.set_blocking(descriptor, False)
        poller.register(descriptor, select.EPOLLIN)
    poller.register(commands.fileno(), select.EPOLLIN)
    while True:
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else -1
        for descriptor, _ in poller.poll(timeout):
            if descriptor == commands.fileno():
                try:
                    rules = commands.recv()
                except EOFError:
                    return
                commands.send(True)
                continue
            for _ in range(64):
                try:
                    packet = os.read(descriptor, 65536)
                except BlockingIOError:
                    break
                if len(packet) < 20 or packet[0] >> 4 != 4:
                    continue
                source, destination = packet[12:16], packet[16:20]
                way = (source, destination)
                if destination not in devices or way in rules.blocked:
                    continue
                if packet[9] == UDP and chance.random() < rules.udp_loss:
                    continue
                number += 1
                when = time.monotonic() + rules.delays.get(way, 0.0)
                heapq.heappush(waiting, (when, number, devices[destination], packet))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, descriptor, packet = heapq.heappop(waiting)
            try:
                os.write(descriptor, packet)
            except OSError:
                pass  # the host is gone, or its queue is full: a packet is lost


class Router:
    """`with Router(devices)`: runs until the end. `change` alters the rules, and returns when they are in force."""

    def __init__(self, devices):
        self._commands, theirs = multiprocessing.Pipe()
        self._rules = Rules()
        self._process = multiprocessing.Process(target=self._run, args=(devices, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def _run(self, devices, theirs):
        self._commands.close()
        _serve(devices, theirs)

    def change(self, alter):
        alter(self._rules)
        self._commands.send(self._rules)
        self._commands.recv()

    def close(self):
        self._commands.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
