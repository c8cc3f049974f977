#!/usr/bin/python3
"""What metrics and traces cost: warm calls with them, beside those without.

Three nodes run all the time: without, with metrics (scraped once in each load), and with metrics and traces. Each repeat
loads one after the other with serverledge-bench, in changing order. Beside the throughput stands the processor time that
the node itself took per call, which a busy machine disturbs less. See README.md for how to read the figures."""

import http.client
import json
import tempfile
import threading

from bench_support import NOOP_PYTHON, Client, Series, command_line, function, node_process, processor_time, ratios, verdict
from warm_invocation import load

CONNECTIONS = 16
METRICS_TARGET = 0.97
KINDS = ("off", "metrics", "traces")


def scrape(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    connection.getresponse().read()


def measure(kind, port, process, options):
    scraping = threading.Timer(options.warmup + options.duration / 2, scrape, [port])
    if kind != "off":
        scraping.start()
    before = processor_time(process)
    outcome = load(options.build, port, CONNECTIONS, options)
    took = processor_time(process) - before
    if kind != "off":
        scraping.join()
    # The warm-up's calls are not counted by the bench, but its time is in `took`.
    share = options.duration / (options.duration + options.warmup)
    return {"Throughput": outcome["Throughput"], "MicrosecondsPerCall": took * share / outcome["Successes"] * 1e6}


def main():
    parser = command_line(__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--duration", type=float, default=2, help="seconds of each load (2)")
    parser.add_argument("--warmup", type=float, default=0.5, help="seconds of load before it (0.5)")
    options = parser.parse_args()
    memory = 2 * CONNECTIONS * 64  # with room, so that no call is refused while containers start
    with tempfile.TemporaryDirectory() as folder, \
            node_process(options.build, container_pool_memory=memory) as off, \
            node_process(options.build, container_pool_memory=memory, metrics_enabled=True) as metrics, \
            node_process(options.build, container_pool_memory=memory, metrics_enabled=True, tracing_enabled=True,
                         tracing_outfile=f"{folder}/trace.json") as traces:
        nodes = dict(zip(KINDS, (off, metrics, traces)))
        for port, _ in nodes.values():
            Client(port).post("/create", function("noop", "python314", NOOP_PYTHON, 64))
        rows = []
        for repeat in range(options.repeats):
            turn = repeat % len(KINDS)
            rows.append({kind: measure(kind, *nodes[kind], options) for kind in KINDS[turn:] + KINDS[:turn]})
    if options.json:
        print(json.dumps(rows))
        return
    print(f"warm calls on {CONNECTIONS} connections, median of {len(rows)} repeats (least-most)")
    for figure, unit in (("Throughput", "calls per second"), ("MicrosecondsPerCall", "us of the node's processor time per call")):
        print(unit)
        base = [row["off"][figure] for row in rows]
        for kind in KINDS:
            values = [row[kind][figure] for row in rows]
            print(f"  {kind:8} {Series(values):.1f}   to off {ratios(values, base):.3f} x")
    ratio = ratios([row["metrics"]["Throughput"] for row in rows], [row["off"]["Throughput"] for row in rows])
    print(f"throughput with metrics, {verdict(ratio, METRICS_TARGET, False)}")


if __name__ == "__main__":
    main()
