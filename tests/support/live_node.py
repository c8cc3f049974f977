"""For tests in Python: the real server as a process of its own, and other programs beside it, all gone at the end."""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

DEADLINE = 60  # seconds that anything may take; this is no measure of speed


def skip(why):
    """Ends the test as skipped, as ctest is told by the status."""
    print(f"SKIPPED: {why}")
    sys.exit(4)


def eventually(check, what):
    """The first true value that `check` gives."""
    deadline = time.monotonic() + DEADLINE
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {DEADLINE} s: {what}")
        time.sleep(0.05)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def request(port, method, path, body=None, headers=None):
    """Status, headers and body (bytes) of an answer of 127.0.0.1."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@contextlib.contextmanager
def program(command, log, environment=None):
    """A process that is ended with the block; shows its log if the block fails."""
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                   env={**os.environ, **(environment or {})})
    try:
        yield process
    except BaseException:
        sys.stderr.write(f"--- log of {command[0]}\n{pathlib.Path(log).read_text(errors='replace')[-8000:]}\n")
        raise
    finally:
        process.terminate()
        try:
            process.wait(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def installed(name):
    """The path of a Debian program, or the test is skipped."""
    found = shutil.which(name) or shutil.which(name, path="/usr/bin:/usr/sbin")
    return found or skip(f"{name} is not installed")


class Node:
    """A running node."""

    def __init__(self, port, log, process):
        self.port, self._log, self.process = port, log, process
        self.stopped = False

    def log(self):
        return self._log.read_text(errors="replace")

    def request(self, method, path, body=None, headers=None):
        if isinstance(body, dict):
            body = json.dumps(body)
        return request(self.port, method, path, body, headers)

    def create(self, name, source, **fields):
        """Stores a Python function `handler`."""
        body = {"Name": name, "Runtime": "python314", "MemoryMB": 64, "Handler": f"{name}.handler",
                "TarFunctionCode": base64.b64encode(source.encode()).decode(), **fields}
        status, _, text = self.request("POST", "/update", body)
        assert status == 200, text

    def stop(self):
        """SIGTERM, and the node's exit status."""
        self.stopped = True
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=DEADLINE)

    def invoke(self, name, headers=None, **fields):
        return self.request("POST", f"/invoke/{name}", fields, headers)


@contextlib.contextmanager
def node(server, settings=None, name="node"):
    """A node with a temporary store, on a free port; `settings` are configuration keys."""
    with tempfile.TemporaryDirectory(prefix="serverledge-test-") as folder:
        folder = pathlib.Path(folder)
        keys = {"api.listen": "127.0.0.1", "api.port": 0, "store.path": str(folder / "store"), **(settings or {})}
        config = folder / f"{name}.yaml"
        config.write_text("".join(f"{key}: {json.dumps(str(value))}\n" for key, value in keys.items()))
        log = folder / f"{name}.log"
        with program([server, config], log) as process:
            def address():
                if process.poll() is not None:
                    raise AssertionError(f"the node ended with status {process.returncode}")
                return re.search(r"http://127\.0\.0\.1:(\d+)\W", log.read_text(errors="replace"))
            running = Node(int(eventually(address, "the node listens")[1]), log, process)
            yield running
            assert running.stopped or process.poll() is None, "the node has ended"
