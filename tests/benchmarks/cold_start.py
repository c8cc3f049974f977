#!/usr/bin/python3
"""Cold starts beside their floor.

Each repeat measures, one after the other:
  floor   a bare interpreter from start to end: /usr/bin/python3 -c 'import json, socket', and /usr/bin/node -e 0
  ours    a no-op function that has no container, from the HTTP request to its answer on a kept-alive connection, with
          code that the node has unpacked before, and with code that is new to it
See README.md for how to read the figures."""

import json
import os
import time

from bench_support import NODE, NOOP_NODEJS, NOOP_PYTHON, PYTHON, Client, Series, command_line, fail, function, node, ratios, verdict

TARGET = 0.25
FLOORS = {"python314": [PYTHON, "-c", "import json, socket"], "nodejs17ng": [NODE, "-e", "0"]}
CODE = {"python314": NOOP_PYTHON, "nodejs17ng": NOOP_NODEJS}
COMMENT = {"python314": "#", "nodejs17ng": "//"}


def milliseconds(begin):
    return (time.perf_counter() - begin) * 1000


def bare(command):
    begin = time.perf_counter()
    _, status = os.waitpid(os.posix_spawn(command[0], command, os.environ), 0)
    took = milliseconds(begin)
    if status != 0:
        fail(f"{' '.join(command)} failed")
    return took


def cold(client, runtime, code, pause):
    """Registering the function anew ends its containers. The pause lets that happen, and the stock refill."""
    client.post("/update", function("noop", runtime, code))
    time.sleep(pause)
    begin = time.perf_counter()
    answer = client.post("/invoke/noop", '{"Params":{}}')
    took = milliseconds(begin)
    if answer["IsWarmStart"]:
        fail("the call was not a cold start")
    return took, answer["InitTime"] * 1000


def measure(client, runtime, options):
    floors, known, new, inits = [], [], [], []
    cold(client, runtime, CODE[runtime], options.pause)  # nobody's first one counts
    bare(FLOORS[runtime])
    for number in range(options.repeats):
        floors.append(bare(FLOORS[runtime]))
        took, init = cold(client, runtime, CODE[runtime], options.pause)
        known.append(took)
        inits.append(init)
        new.append(cold(client, runtime, f"{CODE[runtime]}{COMMENT[runtime]} {number} {time.time_ns()}\n", options.pause)[0])
    return {"Floor": floors, "KnownCode": known, "NewCode": new, "InitTime": inits}


def show(runtime, figures):
    print(f"{runtime}, milliseconds: median (least-most)")
    print(f"  {' '.join(FLOORS[runtime]):48} {Series(figures['Floor']):.2f}")
    for key, label in (("KnownCode", "cold call, code unpacked before"), ("NewCode", "cold call, new code")):
        ratio = ratios(figures[key], figures["Floor"])
        print(f"  {label:48} {Series(figures[key]):.2f}   {ratio:.2f} x, {verdict(ratio, TARGET, True)}")
    print(f"  {'of it, as the node tells, start of the container':48} {Series(figures['InitTime']):.2f}")


def main():
    parser = command_line(__doc__)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between an update and the call (0.3)")
    options = parser.parse_args()
    with node(options.build) as port:
        client = Client(port)
        figures = {runtime: measure(client, runtime, options) for runtime in FLOORS}
    if options.json:
        print(json.dumps(figures))
    else:
        for runtime, values in figures.items():
            show(runtime, values)


if __name__ == "__main__":
    main()
