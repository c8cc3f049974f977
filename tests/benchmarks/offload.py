#!/usr/bin/env python3
"""What offloading one call adds to calling its target directly, with a no-op function, on one connection.

The floor is the round trip to the target plus a warm invocation, measured in turns with it. The round trip is that of a
request which runs nothing (/healthz), made as the offloading node makes it: on a kept-alive connection. Needs etcd.
"""

import contextlib
import json
import tempfile
import time

from bench_support import NOOP_PYTHON, Client, Series, command_line, fail, free_port, function, node, ratios, running, verdict

TARGET = 1.3


@contextlib.contextmanager
def etcd():
    client, peer = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        at, peers = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        command = ["etcd", "--data-dir", folder, "--listen-client-urls", at, "--advertise-client-urls", at,
                   "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}"]
        with running(command, client, "/health"):
            yield f"127.0.0.1:{client}"


def timed(call, count):
    """Medians want many: microseconds of `count` calls."""
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1e6)
    return Series(times).median


class Plain(Client):
    def get(self, path):
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        response.read()
        if response.status != 200:
            fail(f"GET {path} was answered {response.status}")


def wait_until_offloaded(edge):
    deadline = time.monotonic() + 60
    while edge.post("/invoke/noop", "{}")["ExecutionNode"] != "target":
        if time.monotonic() > deadline:
            fail("the edge node does not offload")
        time.sleep(0.1)


def measure(edge, target, options):
    here = json.dumps({"CanDoOffloading": False})

    def offloaded():
        if edge.post("/invoke/noop", "{}")["ExecutionNode"] != "target":
            fail("a call was not offloaded")

    rows = []
    for _ in range(options.repeats):
        rows.append({
            "RoundTrip": timed(lambda: target.get("/healthz"), options.calls),
            "Warm": timed(lambda: edge.post("/invoke/noop", here), options.calls),
            "Direct": timed(lambda: target.post("/invoke/noop", "{}"), options.calls),
            "Offloaded": timed(offloaded, options.calls),
        })
    return rows


def show(rows):
    print("one connection, microseconds; median of the repeats (least-most)")
    for name, label in (("RoundTrip", "a round trip"), ("Warm", "a warm call"), ("Direct", "target directly"), ("Offloaded", "offloaded")):
        print(f"  {label:16} {Series(row[name] for row in rows):.0f}")
    added = [row["Offloaded"] - row["Direct"] for row in rows]
    floor = [row["RoundTrip"] + row["Warm"] for row in rows]
    ratio = ratios(added, floor)
    print(f"  {'added':16} {Series(added):.0f}")
    print(f"  added to (round trip + warm call) {ratio:.2f} x, {verdict(ratio, TARGET, True)}")


def main():
    parser = command_line(__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--calls", type=int, default=1000, help="calls of each kind in a repeat (1000)")
    options = parser.parse_args()
    common = {"registry_udp_port": 0, "registry_nearby_interval": 1, "api_listen": "127.0.0.1"}
    with etcd() as address, \
            node(options.build, etcd_address=address, registry_node_id="target", **common) as target_port, \
            node(options.build, etcd_address=address, registry_node_id="edge", scheduler_policy="edgeonly", **common) as edge_port:
        edge, target = Plain(edge_port), Plain(target_port)
        edge.post("/create", function("noop", "python314", NOOP_PYTHON))
        wait_until_offloaded(edge)
        rows = measure(edge, target, options)
    print(json.dumps(rows)) if options.json else show(rows)


if __name__ == "__main__":
    main()
