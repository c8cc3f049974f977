#!/usr/bin/python3
"""Warm calls of a no-op Python function beside their floor.

The floor is a plain uvicorn server (uvloop, httptools; one process) whose handler reads the same request and gives the same
answer. Both run all the time; each repeat loads one after the other with serverledge-bench, on one connection and on
sixteen. See README.md for how to read the figures."""

import contextlib
import json
import pathlib
import subprocess

from bench_support import NOOP_PYTHON, PYTHON, ROOT, Client, Series, command_line, fail, free_port, function, node, ratios, running, verdict

PACKAGES = ["uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0"]
LATENCY_TARGET = 1.3
THROUGHPUT_TARGET = 0.7
CONNECTIONS = 16


def uvicorn_python(folder):
    """A Python that has uvicorn, in a virtual environment that is made once."""
    python = folder / "bin" / "python3"
    wanted = folder / "packages.txt"
    if wanted.is_file() and wanted.read_text().split() == PACKAGES:
        return python
    print(f"installing {', '.join(PACKAGES)} into {folder}")
    try:
        subprocess.run([PYTHON, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", *PACKAGES], check=True)
    except subprocess.CalledProcessError as error:
        fail(f"{error} (Debian: apt-get install python3-venv)")
    wanted.write_text("\n".join(PACKAGES))
    return python


@contextlib.contextmanager
def uvicorn(python):
    port = free_port()
    command = [python, "-m", "uvicorn", "plain_uvicorn:app", "--app-dir", pathlib.Path(__file__).parent, "--port",
               str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    with running(command, port, "/"):
        yield port


def load(build, port, connections, options):
    """What serverledge-bench says; every answer must be a 200."""
    command = [build / "bin" / "serverledge-bench", "-P", str(port), "-f", "noop", "-c", str(connections), "--duration",
               str(options.duration), "--warmup", str(options.warmup), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        fail(f"not every answer was a 200: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def measure(ours, floor, options):
    rows = []
    for _ in range(options.repeats):
        row = {}
        for connections in (1, CONNECTIONS):
            for name, port in (("Floor", floor), ("Ours", ours)):
                row[f"{name}{connections}"] = load(options.build, port, connections, options)
        rows.append(row)
    return rows


def show(rows):
    def column(name, read):
        return [read(row[name]) for row in rows]

    def p50(outcome):
        return outcome["Latency"]["P50"] * 1e6

    def p99(outcome):
        return outcome["Latency"]["P99"] * 1e6

    def rate(outcome):
        return outcome["Throughput"]

    print("median of the repeats (least-most); every answer was a 200")
    print("one connection, microseconds")
    for name, label in (("Floor1", "uvicorn"), ("Ours1", "a warm call")):
        print(f"  {label:14} p50 {Series(column(name, p50)):.0f}   p99 {Series(column(name, p99)):.0f}")
    ratio = ratios(column("Ours1", p50), column("Floor1", p50))
    print(f"  {'p50, ratio':14} {ratio:.2f} x, {verdict(ratio, LATENCY_TARGET, True)}")
    print(f"{CONNECTIONS} connections, requests per second")
    for name, label in ((f"Floor{CONNECTIONS}", "uvicorn"), (f"Ours{CONNECTIONS}", "warm calls")):
        print(f"  {label:14} {Series(column(name, rate)):.0f}   p99 {Series(column(name, p99)):.0f} microseconds")
    ratio = ratios(column(f"Ours{CONNECTIONS}", rate), column(f"Floor{CONNECTIONS}", rate))
    print(f"  {'ratio':14} {ratio:.2f} x, {verdict(ratio, THROUGHPUT_TARGET, False)}")


def main():
    parser = command_line(__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--duration", type=float, default=3, help="seconds of each load (3)")
    parser.add_argument("--warmup", type=float, default=1, help="seconds of load before it (1)")
    parser.add_argument("--memory", type=int, default=64, help="MB of a container; as many as fit are started (64)")
    parser.add_argument("--concurrency", type=int, default=1, help="calls inside one container at a time (1)")
    options = parser.parse_args()
    python = uvicorn_python(ROOT / "build" / "benchmarks" / "uvicorn")
    with node(options.build, container_pool_memory=CONNECTIONS * options.memory) as ours, uvicorn(python) as floor:
        Client(ours).post("/create", function("noop", "python314", NOOP_PYTHON, options.memory, options.concurrency))
        rows = measure(ours, floor, options)
    if options.json:
        print(json.dumps(rows))
    else:
        show(rows)


if __name__ == "__main__":
    main()
