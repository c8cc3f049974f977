"""What the benchmarks share: a node of their own, plain HTTP calls, medians with their spread, a table."""

import argparse
import base64
import contextlib
import http.client
import io
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_SECONDS = 30
PYTHON = "/usr/bin/python3"
NODE = "/usr/bin/node"

NOOP_PYTHON = "def handler(params, context):\n    return None\n"
NOOP_NODEJS = "exports.handler = () => null;\n"


def command_line(description):
    """A parser with what benchmarks take: the build to be measured, and whether to print the values themselves."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release", help="build folder")
    parser.add_argument("--json", action="store_true", help="print all values as JSON")
    return parser


def fail(message):
    sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {message}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Client:
    """One kept-alive connection to an HTTP server."""

    def __init__(self, port):
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, path, body):
        """The JSON of the answer; ends the benchmark if it is not a 200."""
        self._connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        answer = response.read()
        if response.status != 200:
            fail(f"POST {path} was answered {response.status}: {answer.decode(errors='replace')}")
        return json.loads(answer)


def wait_for(port, process, path):
    """Returns when GET `path` gives a 200."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            fail(f"the server ended with status {process.returncode} while it was starting")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.02)
    fail(f"the server did not answer {path} within {START_SECONDS} s")


@contextlib.contextmanager
def running(command, port, path):
    """A server process that answers GET `path`; stopped at the end. What it logged is shown if anything fails."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(port, process, path)
            yield process
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
            raise
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def node(build, **settings):
    """The same as `node_process`; yields the port alone."""
    with node_process(build, **settings) as (port, _):
        yield port


@contextlib.contextmanager
def node_process(build, **settings):
    """A node with nothing on disk; yields its port and process. Keyword `a_b` sets the configuration key `a.b`."""
    program = build / "bin" / "serverledge"
    if not program.exists():
        fail(f"{program} is missing: build it with cmake --build --preset release")
    port = free_port()
    keys = {"api.port": port, "store.path": ":memory:", "log.level": "warning"}
    keys.update({name.replace("_", "."): value for name, value in settings.items()})
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "serverledge-conf.yaml"
        config.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in keys.items()))
        with running([program, config], port, "/readyz") as process:
            yield port, process


def processor_time(process):
    """Seconds that all threads of a process, without its children, have taken, from the kernel's scheduler:
    CLOCK_PROCESS_CPUTIME_ID of another process."""
    return time.clock_gettime(~process.pid << 3 | 2)


def tar_of(name, text):
    """Base64 of a tar that holds one file."""
    data = text.encode()
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(entry, io.BytesIO(data))
    return base64.b64encode(archive.getvalue()).decode()


def function(name, runtime, code, memory=128, concurrency=1):
    """The body that registers a function of one file."""
    file, handler = ("noop.py", "noop.handler") if runtime == "python314" else ("noop.js", "noop")
    return json.dumps({
        "Name": name, "Runtime": runtime, "MemoryMB": memory, "CPUDemand": 0, "MaxConcurrency": concurrency,
        "Handler": handler, "TarFunctionCode": tar_of(file, code),
    })


class Series:
    """Repeated measurements of one thing."""

    def __init__(self, values):
        self.values = sorted(values)

    @property
    def median(self):
        return statistics.median(self.values)

    def __format__(self, spec):
        return f"{self.median:{spec}} ({self.values[0]:{spec}}-{self.values[-1]:{spec}})"


def ratios(ours, floors):
    """Ours to the floor measured beside it, one ratio per repeat."""
    return Series(mine / floor for mine, floor in zip(ours, floors))


def verdict(ratio, target, at_most):
    good = ratio.median <= target if at_most else ratio.median >= target
    return f"{'at most' if at_most else 'at least'} {target} x: {'met' if good else 'MISSED'}"
