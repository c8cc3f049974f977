#!/usr/bin/python3
"""Calls of a no-op Python function in a Docker container, beside their floors.

  warm   an invocation through the node, the same call made directly to the same executor, and the same through a bare
         forwarder (forwarder.c: what any proxy costs), on kept-alive connections, in turns
  cold   an invocation without a container, and what the bare Engine API needs for the same: create a container with the
         code bound into it, start it, ask for its address, and connect every 2 ms until the executor answers the call

Needs an engine (DOCKER_HOST, or the usual socket) on this machine with the image serverledge-python310
(examples/images/build.sh). See README.md for how to read the figures."""

import contextlib
import http.client
import json
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.parse

from bench_support import NOOP_PYTHON, Client, Series, command_line, fail, free_port, function, node, ratios, verdict

WARM_TARGET = 1.3
COLD_TARGET = 1.15
IMAGE = "serverledge-python310"
NETWORK = "serverledge-benchmark"
# What a node sends to the executor for the invocation that is measured.
CALL = json.dumps({
    "Command": ["python", "/entrypoint.py"], "Params": {}, "Handler": "noop.handler", "HandlerDir": "/app", "ReturnOutput": False,
    "Context": {"RequestId": "noop-0123456789abcdef0123456789abcdef", "Function": "noop", "Deadline": 60, "MemoryMB": 128,
                "Traceparent": ""}}, separators=(",", ":"))
CALL_HEADERS = {"Serverledge-Call": "0123456789abcdef"}
INVOCATION = '{"Params":{}}'


def milliseconds(begin):
    return (time.perf_counter() - begin) * 1000


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class Engine:
    """The bare Engine API on one kept-alive connection."""

    def __init__(self, host):
        if not host.startswith("unix://"):
            fail("the engine must be on this machine: DOCKER_HOST=unix://...")
        self._connection = UnixConnection(host.removeprefix("unix://"))

    def request(self, method, path, body=None, good=(200, 201, 204)):
        headers = {"Content-Type": "application/json"} if body else {}
        self._connection.request(method, "/v1.41" + path, json.dumps(body) if body else None, headers)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status not in good:
            fail(f"{method} {path} was answered {response.status}: {answer.decode(errors='replace')}")
        return json.loads(answer) if answer.strip() else None

    def address(self, container):
        networks = self.request("GET", f"/containers/{container}/json")["NetworkSettings"]["Networks"]
        return next(iter(networks.values()))["IPAddress"]

    def container_of(self, function_name):
        filters = urllib.parse.quote(json.dumps({"label": [f"serverledge.function={function_name}"]}))
        return self.request("GET", f"/containers/json?filters={filters}")[0]["Id"]


def post(connection, path, body, headers):
    connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200 or b'"Success":true' not in answer:
        fail(f"POST {path}: {response.status} {answer}")


def kept_alive(address, port):
    connection = http.client.HTTPConnection(address, port, timeout=120)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def bare_cold_start(engine, code, number):
    begin = time.perf_counter()
    container = engine.request("POST", f"/containers/create?name=serverledge-benchmark-{os.getpid()}-{number}", {
        "Image": IMAGE, "HostConfig": {"NetworkMode": NETWORK, "Memory": 128 << 20, "Binds": [f"{code}:/app:ro"]}})["Id"]
    try:
        engine.request("POST", f"/containers/{container}/start")
        address = engine.address(container)
        while True:
            try:
                connection = kept_alive(address, 8080)
                break
            except ConnectionRefusedError:
                time.sleep(0.002)
        post(connection, "/invoke", CALL, CALL_HEADERS)
        took = milliseconds(begin)
        connection.close()
    finally:
        engine.request("DELETE", f"/containers/{container}?force=1&v=1")
    return took


def cold_call(client, pause):
    client.post("/update", function("noop", "python314", NOOP_PYTHON))
    time.sleep(pause)
    begin = time.perf_counter()
    answer = client.post("/invoke/noop", INVOCATION)
    took = milliseconds(begin)
    if answer["IsWarmStart"]:
        fail("the call was not a cold start")
    return took


def measure_cold(client, engine, options):
    figures = {"Bare": [], "Ours": []}
    with tempfile.TemporaryDirectory() as code:
        os.chmod(code, 0o755)
        pathlib.Path(code, "noop.py").write_text(NOOP_PYTHON)
        bare_cold_start(engine, code, "first")  # nobody's first one counts
        cold_call(client, options.pause)
        for number in range(options.repeats):
            figures["Bare"].append(bare_cold_start(engine, code, number))
            time.sleep(options.pause)
            figures["Ours"].append(cold_call(client, options.pause))
    return figures


@contextlib.contextmanager
def forwarder(address):
    """A connection through a bare forwarder to the executor at an address."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder, "forwarder")
        subprocess.run(["cc", "-O2", "-o", program, pathlib.Path(__file__).with_name("forwarder.c")], check=True)
        process = subprocess.Popen([program, str(port), address])
        try:
            yield connect_soon(port)
        finally:
            process.kill()
            process.wait()


def connect_soon(port):
    deadline = time.monotonic() + 30
    while True:
        try:
            return kept_alive("127.0.0.1", port)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def measure_warm(port, client, engine, options):
    """One value per block: the median of its calls. All three are asked by the same client."""
    client.post("/invoke/noop", INVOCATION)
    address = engine.address(engine.container_of("noop"))
    with forwarder(address) as forwarded:
        calls = {"Direct": (kept_alive(address, 8080), "/invoke", CALL, CALL_HEADERS),
                 "Forwarder": (forwarded, "/invoke", CALL, CALL_HEADERS),
                 "Ours": (kept_alive("127.0.0.1", port), "/invoke/noop", INVOCATION, {})}
        figures = {name: [] for name in calls}
        for _ in range(options.repeats):
            for name, call in calls.items():
                times = []
                for _ in range(options.calls):
                    begin = time.perf_counter()
                    post(*call)
                    times.append(milliseconds(begin))
                figures[name].append(statistics.median(times))
        for connection, *_ in calls.values():
            connection.close()
    return figures


def show(title, figures, floor, target):
    print(f"{title}, milliseconds: median (least-most), and the ratio to {floor}")
    for name, values in figures.items():
        ratio = f"   {ratios(values, figures[floor]):.2f} x" if name != floor else ""
        print(f"  {name:10} {Series(values):.3f}{ratio}")
    print(f"  Ours, {verdict(ratios(figures['Ours'], figures[floor]), target, True)}")


def main():
    parser = command_line(__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--calls", type=int, default=200, help="warm calls in a block (200)")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between a start and the next (1)")
    options = parser.parse_args()
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    engine = Engine(host)
    engine.request("GET", f"/images/{IMAGE}/json")
    engine.request("DELETE", f"/networks/{NETWORK}", good=(204, 404))
    engine.request("POST", "/networks/create", {"Name": NETWORK, "Driver": "bridge"})
    try:
        with node(options.build, container_runtime="docker", container_docker_host=host) as port:
            client = Client(port)
            client.post("/create", function("noop", "python314", NOOP_PYTHON))
            warm = measure_warm(port, client, engine, options)
            cold = measure_cold(client, engine, options)
    finally:
        engine.request("DELETE", f"/networks/{NETWORK}", good=(204, 404))
    if options.json:
        print(json.dumps({"Warm": warm, "Cold": cold}))
        return
    show("warm call", warm, "Direct", WARM_TARGET)
    show("cold call", cold, "Bare", COLD_TARGET)


if __name__ == "__main__":
    main()
