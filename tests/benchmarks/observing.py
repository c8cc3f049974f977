#!/usr/bin/python3
"""What metrics and traces cost: the throughput of warm calls with them, beside that without.

Three nodes run all the time: without, with metrics (scraped once in each load), and with metrics and traces. Each repeat
loads one after the other with serverledge-bench, in changing order. See README.md for how to read the figures."""

import argparse
import http.client
import json
import pathlib
import tempfile
import threading

from bench_support import NOOP_PYTHON, ROOT, Client, Series, function, node, ratios, verdict
from warm_invocation import load

CONNECTIONS = 16
METRICS_TARGET = 0.97
KINDS = ("off", "metrics", "traces")


def scrape(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    connection.getresponse().read()


def throughput(kind, port, options):
    scraping = threading.Timer(options.warmup + options.duration / 2, scrape, [port])
    if kind != "off":
        scraping.start()
    outcome = load(options.build, port, CONNECTIONS, options)
    if kind != "off":
        scraping.join()
    return outcome["Throughput"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release", help="build folder")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--duration", type=float, default=2, help="seconds of each load (2)")
    parser.add_argument("--warmup", type=float, default=0.5, help="seconds of load before it (0.5)")
    parser.add_argument("--json", action="store_true", help="print all throughputs as JSON")
    options = parser.parse_args()
    memory = 2 * CONNECTIONS * 64  # with room, so that no call is refused while containers start
    with tempfile.TemporaryDirectory() as folder, \
            node(options.build, container_pool_memory=memory) as off, \
            node(options.build, container_pool_memory=memory, metrics_enabled=True) as metrics, \
            node(options.build, container_pool_memory=memory, metrics_enabled=True, tracing_enabled=True,
                 tracing_outfile=f"{folder}/trace.json") as traces:
        ports = dict(zip(KINDS, (off, metrics, traces)))
        for port in ports.values():
            Client(port).post("/create", function("noop", "python314", NOOP_PYTHON, 64))
        rows = []
        for repeat in range(options.repeats):
            turn = repeat % len(KINDS)
            rows.append({kind: throughput(kind, ports[kind], options) for kind in KINDS[turn:] + KINDS[:turn]})
    if options.json:
        print(json.dumps(rows))
        return
    print(f"warm calls per second on {CONNECTIONS} connections, median of {len(rows)} repeats (least-most)")
    for kind in KINDS:
        print(f"  {kind:8} {Series([row[kind] for row in rows]):.0f}")
    base = [row["off"] for row in rows]
    ratio = ratios([row["metrics"] for row in rows], base)
    print(f"  metrics to off {ratio:.3f} x, {verdict(ratio, METRICS_TARGET, False)}")
    print(f"  traces to off  {ratios([row['traces'] for row in rows], base):.3f} x")


if __name__ == "__main__":
    main()
