#!/usr/bin/env python3
"""What 200 registered nodes cost a node, beside a bare loop that sends and parses the same datagrams.

Three processes run side by side, so that whatever else the machine does meets all of them: a node in an area with 200
others, which are registered in a real etcd and answer; a node that is alone in its area; and the bare loop, which asks
the same 200. In each round the processor time of all is taken over the same seconds: the first node's less that of the
second is what the 200 cost. Like is compared with like, at two paces: a question to each node every second, and as the
loop does; then one every 50 milliseconds, and the loop without pauses. Needs etcd, and addresses of 127.1.0.0/24.
"""

import json
import subprocess
import time

from bench_support import Series, command_line, fail, node_process, processor_time, ratios, verdict
from offload import etcd

NODES = 200
TARGET = 2
# Seconds between two questions to a node; more often than by default, for more in a round.
CALM, BUSY = 1, 0.05


class Peers:
    """A running status_peers."""

    def __init__(self, build, *arguments):
        program = build / "bin" / "status_peers"
        if not program.exists():
            fail(f"{program} is missing: build it with cmake --build --preset release --target status_peers")
        self._process = subprocess.Popen([program, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def line(self):
        line = self._process.stdout.readline()
        if not line:
            fail("status_peers has ended")
        return line

    def progress(self):
        """Answers so far, and seconds of processor time."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answers, nanoseconds = self.line().split()
        return int(answers), int(nanoseconds) / 1e9


def register(address, port):
    """As nodes do, but without a lease."""
    puts = "".join(f'put registry/FULL/amd64/n{number} "127.1.0.{number + 1};1323;{port};amd64"\n' for number in range(NODES))
    # A transaction holds 128 at most.
    for part in range(0, NODES, 100):
        lines = "".join(puts.splitlines(keepends=True)[part:part + 100])
        subprocess.run(["etcdctl", f"--endpoints={address}", "txn"], input=f"\n{lines}\n\n", text=True, check=True, stdout=subprocess.DEVNULL,
                       env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})


def wait_until_all_are_asked(peers):
    """Returns when the node has come to its pace."""
    before = peers.progress()[0]
    deadline = time.monotonic() + 60
    while peers.progress()[0] < before + 3 * NODES:
        if time.monotonic() > deadline:
            fail(f"the node has asked {peers.progress()[0] - before} times in a minute: it does not know the others")
        time.sleep(0.1)


def difference(after, before):
    return [a - b for a, b in zip(after, before)]


def measure(full, alone, peers, bare, seconds):
    """One round: microseconds of processor time for each exchange."""
    def taken():
        answered, _ = peers.progress()
        asked, bare_time = bare.progress()
        return answered, asked, bare_time, processor_time(full), processor_time(alone)

    before = taken()
    time.sleep(seconds)
    answered, asked, bare_time, full_time, alone_time = difference(taken(), before)
    own = answered - asked  # the rest were the loop's
    return {"Node": (full_time - alone_time) / own * 1e6, "Bare": bare_time / asked * 1e6, "Exchanges": own / seconds,
            "Full": full_time / seconds * 100, "Alone": alone_time / seconds * 100}


def rounds_of(options, interval, seconds, address, peers, port):
    """With a pair of nodes of that interval; the loop's pace is that of the first, or its own."""
    rate = NODES // interval if interval == CALM else 0
    settings = {"etcd_address": address, "registry_nearby_interval": interval, "registry_udp_port": 0, "api_listen": "127.0.0.1",
                "sandbox_stock_nodejs": 0}
    rows = []
    with node_process(options.build, registry_area="FULL", **settings) as (_, full), \
            node_process(options.build, registry_area="EMPTY", **settings) as (_, alone):
        wait_until_all_are_asked(peers)
        for _ in range(options.rounds):
            with Peers(options.build, "ask", port, NODES, rate) as bare:
                time.sleep(0.2)  # it has begun
                rows.append(measure(full, alone, peers, bare, seconds))
    least = NODES / interval / 2
    if any(row["Exchanges"] < least for row in rows):
        fail(f"the node made {min(row['Exchanges'] for row in rows):.0f} exchanges a second, and should make {2 * least:.0f}")
    return rows


def show(rows, pace, loop):
    column = {name: [row[name] for row in rows] for name in rows[0]}
    ratio = ratios(column["Node"], column["Bare"])
    print(f"{Series(column['Exchanges']):.0f} exchanges a second, {pace}")
    print(f"  the node           {Series(column['Node']):.1f}")
    print(f"  bare loop          {Series(column['Bare']):.1f}   {loop}")
    print(f"  node to bare loop  {ratio:.2f} x, {verdict(ratio, TARGET, True)}")
    print(f"  the whole node     {Series(column['Full']):.2f} % of a core; alone {Series(column['Alone']):.2f} %")


def main():
    parser = command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--duration", type=float, default=4, help="seconds of a round (4)")
    options = parser.parse_args()
    with Peers(options.build, "answer", NODES) as peers, etcd() as address:
        port = int(peers.line())
        register(address, port)
        calm = rounds_of(options, CALM, options.duration, address, peers, port)
        busy = rounds_of(options, BUSY, options.duration / 4, address, peers, port)
    if options.json:
        print(json.dumps({"Calm": calm, "Busy": busy}))
        return
    print(f"processor time of one exchange with one of {NODES} nodes, microseconds; median of the rounds (least-most)")
    show(calm, "one with each node a second", "as often")
    show(busy, "one with each node every 50 ms", "without pauses")


if __name__ == "__main__":
    main()
