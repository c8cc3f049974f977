#!/usr/bin/env python3
"""What must hold on a Debian 12 with systemd and cgroups v2, for the identity that this runs as.

Usage: checks.py <root | root-service | user | user-service>

Prints one line "PASS|FAIL|SKIP <identity>: <what>" for each check, and what helps to understand a failure."""

import base64
import concurrent.futures
import contextlib
import io
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request

checkout = pathlib.Path(__file__).resolve().parents[3]
binaries = checkout / "build/release/bin"
identity = sys.argv[1]
is_service = identity.endswith("-service")
manager = ["--user"] if identity.startswith("user") else []
# A processor in software, beside whatever else the host does, is slow.
patience = 240
os.environ["SERVERLEDGE_CONTAINER_START_TIMEOUT"] = str(patience)


def own_cgroup():
    return pathlib.Path("/sys/fs/cgroup" + pathlib.Path("/proc/self/cgroup").read_text().strip().split("::")[1])


def enter_leaf():
    """What apps/serverledge does in a subtree that systemd has handed over, for the tests that are started from here:
    no process may be in a group that hands controllers on."""
    leaf = own_cgroup() / "node"
    leaf.mkdir()
    (leaf / "cgroup.procs").write_text(str(os.getpid()))

# ---------------------------------------------------------------------------------------------- what may not stay behind

our_names = ("serverledge", "python", "node")


def processes():
    """Command lines of what may be ours, by process, without this script and what started it."""
    own = {os.getpid(), os.getppid()}
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            if int(folder.name) not in own and any(name in command.split(" ")[0] for name in our_names):
                found[folder.name] = command
    return found


def cgroups():
    """Every cgroup in which something of ours could live: those below this one, and those of a node that is root."""
    own = own_cgroup().parent if is_service else own_cgroup()
    found = {str(path): "" for path in own.glob("**/") if path != own}
    found.update({str(path): "" for path in pathlib.Path("/sys/fs/cgroup/serverledge").glob("*/")})
    return found


def mounts():
    return {line: "" for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()}


def files():
    found = {}
    for folder in ("/tmp", "/dev/shm", "/var/tmp"):
        found.update({str(path): "" for path in pathlib.Path(folder).glob("*")})
    return found


def snapshot():
    return {**processes(), **cgroups(), **mounts(), **files()}


@contextlib.contextmanager
def nothing_left_behind():
    before = snapshot()
    yield
    deadline = time.monotonic() + 60
    while left := {key: value for key, value in snapshot().items() if key not in before}:
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.2)


# ------------------------------------------------------------------------------------------------------- a node to talk to


class Node:
    """A node of its own, with its files in a temporary folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.configuration = self.folder / "serverledge.yaml"
        settings = {"api.listen": "127.0.0.1", "api.port": self.port, "store.path": f"{self.folder}/store",
                    "container.start.timeout": patience, "sandbox.stock.python": 1, "sandbox.node": '""'}
        self.configuration.write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
        self.start()

    def start(self):
        command = [binaries / "serverledge", self.configuration]
        if is_service:
            # As its users run it: a unit of its own with a subtree of its own.
            self.unit = f"serverledge-{os.getpid()}-{time.monotonic_ns()}.service"
            command = ["systemd-run", *manager, "--quiet", "--wait", "--pipe", "--collect", "--unit", self.unit,
                       "-p", "Delegate=yes", *command]
        with open(self.folder / "node.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + patience
        while True:
            with contextlib.suppress(OSError):
                if self.request("GET", "/readyz")[0] == 200:
                    return
            assert self.process.poll() is None, f"the node has ended: {self.log()}"
            assert time.monotonic() < deadline, f"the node was not ready in time: {self.log()}"
            time.sleep(0.1)

    def log(self):
        return (self.folder / "node.log").read_text(errors="replace")[-3000:]

    def request(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=patience) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def create(self, name, source, **fields):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo("function.py")
            entry.size = len(source.encode())
            tar.addfile(entry, io.BytesIO(source.encode()))
        body = {"Name": name, "Runtime": "python3", "Handler": "function.handler", "MemoryMB": 64,
                "TarFunctionCode": base64.b64encode(archive.getvalue()).decode(), **fields}
        status, answer = self.request("POST", "/create", body)
        assert status == 200, f"/create {name}: {status} {answer}"

    def invoke(self, name, **params):
        status, answer = self.request("POST", f"/invoke/{name}", {"Params": params})
        return status, json.loads(answer) if answer.startswith(b"{") else answer.decode()

    def stop(self, how=signal.SIGTERM):
        if is_service:
            kill = ["systemctl", *manager, "kill", "--kill-whom=main", f"--signal={how.name}", self.unit]
            subprocess.run(kill, check=True, timeout=60)
        else:
            self.process.send_signal(how)
        self.process.wait(patience)

    def is_limited_by_cgroups(self):
        """Whether this node says so, by saying nothing else."""
        return "control groups" not in self.log()


@contextlib.contextmanager
def node():
    with tempfile.TemporaryDirectory() as folder:
        running = Node(folder)
        try:
            yield running
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- the node's log\n{running.log()}") from error
        finally:
            if running.process.poll() is None:
                running.stop()


HELLO = "def handler(params, context):\n    return 'hello'\n"


def answers(running):
    status, answer = running.invoke("hello")
    assert status == 200 and answer["Result"] == '"hello"', f"hello: {status} {answer}"


# ------------------------------------------------------------------------------------------------------------- the checks


def quickstart_answers_and_leaves_nothing():
    with nothing_left_behind():
        done = subprocess.run([checkout / "examples/quickstart.sh", "--no-build"], capture_output=True, text=True, timeout=2 * patience)
        assert done.returncode == 0, done.stdout + done.stderr


def workers():
    """The control groups of the processes that run functions."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().strip() == "worker":
                found.append((folder / "cgroup").read_text().strip())
    return found


def sandboxes_are_limited_by_the_control_groups_that_this_identity_has():
    with nothing_left_behind(), node() as running:
        running.create("hello", HELLO)
        answers(running)
        groups = workers()
        assert groups, "no process runs a function"
        if identity == "user":
            assert not running.is_limited_by_cgroups(), "the node should say that it has no right to control groups"
            return
        assert running.is_limited_by_cgroups(), "the node should limit by control groups"
        place = f"/{running.unit}/serverledge/" if is_service else "0::/serverledge/"
        assert all(place in group for group in groups), f"not all below {place}: {groups}"


HOG = "def handler(params, context):\n    kept = []\n    while True:\n        kept.append(bytearray(1 << 20))\n"
BOMB = "import os\ndef handler(params, context):\n    while True:\n        os.fork()\n"
LOOP = "def handler(params, context):\n    while True:\n        pass\n"


def functions_over_memory_processes_or_time_end_as_that_and_harm_nobody():
    with nothing_left_behind(), node() as running:
        running.create("hello", HELLO)
        for name, source, limit, statuses, kind in (("hog", HOG, patience, (500,), "memory"), ("bomb", BOMB, 20, (500, 504), None),
                                                    ("loop", LOOP, 1, (504,), "timeout")):
            running.create(name, source, TimeoutSec=limit)
            status, answer = running.invoke(name)
            assert status in statuses and (not kind or answer["Error"]["Kind"] == kind), f"{name}: {status} {answer}"
            answers(running)


def a_killed_node_leaves_nothing_once_another_has_run():
    with nothing_left_behind(), node() as running:
        running.create("hello", HELLO)
        answers(running)
        running.stop(signal.SIGKILL)
        running.start()
        answers(running)


# What the machine and the identity make different; all else is tested where it is built. Where systemd has handed a subtree
# over, what sandboxes leave behind does, too. (That nothing grows with 200 of them is a matter of the code.)
executables = [
    ("runtime_test", "[cgroup]"),
    ("sandbox_conformance_test", "memory over the limit*,a fork bomb*,a full /tmp*"),
    ("sandbox_test", "[isolation],[lifecycle]~200*" if is_service else "[isolation]"),
]
checks = [
    quickstart_answers_and_leaves_nothing,
    sandboxes_are_limited_by_the_control_groups_that_this_identity_has,
    functions_over_memory_processes_or_time_end_as_that_and_harm_nobody,
    a_killed_node_leaves_nothing_once_another_has_run,
]


def say(verdict, name, began, details=""):
    lines = [f"{verdict} {identity}: {name} ({time.monotonic() - began:.0f} s)"]
    lines += [f"  | {line}" for line in details.splitlines()]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def check_one(check):
    name, began = check.__name__.replace("_", " "), time.monotonic()
    try:
        check()
    except (AssertionError, OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        say("FAIL", name, began, f"{type(error).__name__}: {error}")
    else:
        say("PASS", name, began)


def run_test_cases(executable, selection):
    """Every test case of a Catch2 executable in a process of its own, as ctest does; exit code 4 is a skip."""
    program = binaries / executable
    listed = subprocess.run([program, "--list-test-names-only", selection], capture_output=True, text=True).stdout

    def run(name):
        began = time.monotonic()
        pattern = name.replace("\\", "\\\\").replace(",", "\\,").replace("[", "\\[")
        try:
            done = subprocess.run([program, pattern], capture_output=True, text=True, timeout=3600, errors="replace")
        except subprocess.TimeoutExpired:
            return say("FAIL", f"{executable}: {name}", began, "it takes longer than an hour")
        output = (done.stdout + done.stderr)[-4000:]
        if done.returncode == 4:
            return say("SKIP", f"{executable}: {name}: {output.strip().splitlines()[-1]}", began)
        return say("FAIL" if done.returncode else "PASS", f"{executable}: {name}", began, output if done.returncode else "")

    names = [name for name in listed.splitlines() if name]
    if not names:
        say("FAIL", f"{executable} has a test {selection}", time.monotonic(), "it lists none")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(run, names))


def main():
    if is_service:
        enter_leaf()
    for check in checks:
        check_one(check)
    for executable, selection in executables:
        run_test_cases(executable, selection)


if __name__ == "__main__":
    main()
