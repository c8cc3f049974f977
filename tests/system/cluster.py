"""etcd and nodes as processes on hosts of a Network, and load whose every answer is checked."""

import base64
import collections
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from network import SKIPPED, Network

SERVER = os.environ.get("SERVERLEDGE_SERVER", "build/release/bin/serverledge")
ETCD = "etcd"
PATIENCE = 90  # seconds in which what must happen has happened, on a machine however busy

ECHO = "import time\ndef handler(params, context):\n    time.sleep(params.get('s', 0))\n    return params['n']\n"


def eventually(condition, what, within=PATIENCE):
    end = time.monotonic() + within
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not within {within} s: {what}")
        time.sleep(0.05)


class Process:
    """A command on a host, in a process group of its own, with its log in a file."""

    def __init__(self, host, folder, arguments, environment=None):
        self.host = host
        self.log_path = pathlib.Path(folder) / "log"
        self._log = open(self.log_path, "ab")
        # What configures the test must not configure a node.
        ours = {name: value for name, value in os.environ.items() if not name.startswith("SERVERLEDGE_")}
        self._child = subprocess.Popen(host.command(*arguments), stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL,
                                       start_new_session=True, env={**ours, **(environment or {})})

    def signal(self, number):
        self._child.send_signal(number)

    def wait(self, timeout=PATIENCE):
        return self._child.wait(timeout)

    def running(self):
        return self._child.poll() is None

    def kill(self):
        """kill -9."""
        if self.running():
            self._child.kill()
        self._child.wait()
        self._log.close()

    def log(self):
        return self.log_path.read_text(errors="replace")


class Etcd:
    def __init__(self, host, folder):
        self.host = host
        self._folder = pathlib.Path(folder)
        self._folder.mkdir(parents=True)
        self.address = f"{host.address}:2379"
        self._process = None
        self.start()

    def start(self):
        own = f"http://{self.host.address}:2379"
        peer = f"http://{self.host.address}:2380"
        self._process = Process(self.host, self._folder, [
            ETCD, "--name", "one", "--data-dir", str(self._folder / "data"), "--listen-client-urls", own,
            "--advertise-client-urls", own, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"one={peer}", "--logger", "zap"], {"ETCD_UNSUPPORTED_ARCH": "arm64"})
        eventually(self.healthy, f"etcd answers: {self._process.log()[-2000:]}")

    def healthy(self):
        connection = http.client.HTTPConnection(self.host.address, 2379, timeout=2)
        try:
            connection.request("GET", "/health")
            return b"true" in connection.getresponse().read()
        except OSError:
            return False
        finally:
            connection.close()

    def kill(self):
        self._process.kill()

    def signal(self, number):
        self._process.signal(number)

    def wipe(self):
        """Stops it, and forgets all it knew."""
        self.kill()
        shutil.rmtree(self._folder / "data")

    def command(self, *arguments):
        done = subprocess.run(["etcdctl", f"--endpoints={self.address}", *arguments], check=True, capture_output=True, text=True,
                              env={**os.environ, "ETCDCTL_API": "3"})
        return done.stdout

    def keys(self, prefix):
        return [line for line in self.command("get", "--prefix", "--keys-only", prefix).splitlines() if line]


class Answer(collections.namedtuple("Answer", "status body headers")):
    def __getitem__(self, name):
        return json.loads(self.body).get(name) if isinstance(name, str) else tuple.__getitem__(self, name)


class Node:
    PROGRAM = SERVER

    def __init__(self, host, folder, etcd, settings):
        self.host = host
        self.key = host.name
        self._folder = pathlib.Path(folder)
        self._folder.mkdir(parents=True)
        defaults = {
            "etcd.address": etcd.address, "registry.node.id": host.name, "store.path": str(self._folder / "store"),
            "registry.nearby.interval": 1, "container.pool.memory": 1024, "api.drain": 2, "sandbox.stock.nodejs": 0,
            "registry.lease": 4,
        }
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in {**defaults, **settings}.items()]
        (self._folder / "node.yaml").write_text("".join(lines))
        self._process = None
        self.start()

    def start(self, wait=True):
        self._process = Process(self.host, self._folder, [self.PROGRAM, str(self._folder / "node.yaml")])
        if wait:
            eventually(self.ready, f"node {self.key} is ready: {self.log()[-3000:]}")

    def ready(self):
        if not self._process.running():
            raise AssertionError(f"node {self.key} has ended: {self.log()[-3000:]}")
        try:
            return self.get("/readyz", timeout=5).status == 200
        except OSError:
            return False

    def log(self):
        return self._process.log()

    def kill(self):
        self._process.kill()

    def signal(self, number):
        self._process.signal(number)

    def stop(self):
        self._process.signal(signal.SIGTERM)
        return self._process.wait()

    def request(self, method, path, body=None, timeout=150.0):
        connection = http.client.HTTPConnection(self.host.address, 1323, timeout=timeout)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode(), dict(answer.getheaders()))
        finally:
            connection.close()

    def get(self, path, timeout=60.0):
        return self.request("GET", path, timeout=timeout)

    def invoke(self, function="echo", params=None, timeout=150.0, **fields):
        return self.request("POST", f"/invoke/{function}", {"Params": params or {}, **fields}, timeout)

    def create(self, name="echo", source=ECHO, **fields):
        answer = self.request("POST", "/update", {
            "Name": name, "Runtime": "python314", "MemoryMB": 128, "Handler": f"{name}.handler",
            "TarFunctionCode": base64.b64encode(source.encode()).decode(), **fields})
        assert answer.status == 200, answer

    def knows(self, name="echo"):
        return name in json.loads(self.get("/function").body)


class Balancer(Node):
    PROGRAM = os.environ.get("SERVERLEDGE_LB", str(pathlib.Path(SERVER).with_name("serverledge-lb")))


class Load:
    """Calls of `echo` by several threads until it is stopped. A wrong answer is remembered; `answers` counts the statuses (0: no
    answer), `nodes` where calls ran."""

    def __init__(self, nodes, threads=4, seconds=0.02, timeout=150.0, asynchronous=False):
        self._nodes = nodes if isinstance(nodes, list) else [nodes]
        self._seconds = seconds
        self._timeout = timeout
        self._asynchronous = asynchronous
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._next = 0
        self.answers = collections.Counter()
        self.nodes = collections.Counter()
        self.wrong = []
        self.accepted = {}  # request id -> number
        self._threads = [threading.Thread(target=self._run, args=(index,), daemon=True) for index in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self, index):
        while not self._stop.is_set():
            node = self._nodes[index % len(self._nodes)]
            with self._lock:
                self._next += 1
                number = self._next
            try:
                answer = node.invoke(params={"n": number, "s": self._seconds}, timeout=self._timeout, Async=self._asynchronous,
                                     CanDoOffloading=True)
            except OSError:
                answer = Answer(0, "{}", {})
                time.sleep(0.05)
            if self._asynchronous or answer.status == 429:
                time.sleep(0.05)  # what is accepted at once must not pile up
            with self._lock:
                self.answers[answer.status] += 1
                if answer.status != 200:
                    continue
                if self._asynchronous:
                    self.accepted[answer["ReqId"]] = number
                    continue
                self.nodes[answer["ExecutionNode"]] += 1
                if not answer["Success"] or answer["Result"] != str(number):
                    self.wrong.append((number, answer))

    def good(self):
        with self._lock:
            return self.answers[200]

    def goes_on(self, calls=20, within=PATIENCE):
        """Waits for so many more answers."""
        target = self.good() + calls
        eventually(lambda: self.good() >= target, f"{calls} more answers; so far {dict(self.answers)}", within)

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(self._timeout + 10)
        return self


def main():
    """Runs the tests of a script; one that was skipped has not passed."""
    result = unittest.main(exit=False, warnings="ignore").result
    for _, why in result.skipped:
        print(f"SKIPPED: {why}")
    sys.exit(1 if not result.wasSuccessful() else SKIPPED if result.skipped and len(result.skipped) == result.testsRun else 0)


class ClusterTest(unittest.TestCase):
    """A network with etcd on one host and a place for nodes on the others: `HOSTS`."""

    HOSTS = {"edge1": "10.77.1.1", "edge2": "10.77.1.2", "edge3": "10.77.1.3", "cloud1": "10.77.2.1", "cloud2": "10.77.2.2"}

    def setUp(self):
        self._folder = tempfile.mkdtemp(prefix="serverledge-system-")
        self.addCleanup(shutil.rmtree, self._folder, ignore_errors=True)
        self.network = Network({"etcd": "10.77.3.1", **self.HOSTS})
        self.addCleanup(self.network.close)
        for edge in (name for name in self.HOSTS if name.startswith("edge")):
            for cloud in (name for name in self.HOSTS if name.startswith("cloud")):
                self.network.delay(edge, cloud, 0.02)
        self.etcd = Etcd(self.network.hosts["etcd"], f"{self._folder}/etcd")
        self.addCleanup(self.etcd.kill)
        self.nodes = []
        self._loads = []
        self.addCleanup(self._say_what_happened)

    def _say_what_happened(self):
        result = self._outcome.result
        if any(test is self for test, _ in result.failures + result.errors):
            for node in self.nodes:
                print(f"--- log of {node.key}\n{node.log()[-3000:]}")

    def node(self, host, **settings):
        area = {"registry.area": "CLOUD"} if host.startswith("cloud") else {"registry.remote.area": "CLOUD"}
        settings = {name.replace("_", "."): value for name, value in settings.items()}
        node = Node(self.network.hosts[host], f"{self._folder}/{host}", self.etcd, {**area, **settings})
        self.nodes.append(node)
        self.addCleanup(node.kill)
        return node

    def balancer(self, host, **settings):
        """Before the nodes of the area ROME."""
        settings = {name.replace("_", "."): value for name, value in settings.items()}
        balancer = Balancer(self.network.hosts[host], f"{self._folder}/{host}", self.etcd, {"registry.area": "ROME", **settings})
        self.addCleanup(balancer.kill)
        return balancer

    def load(self, *arguments, **options):
        load = Load(*arguments, **options)
        self._loads.append(load)
        self.addCleanup(load.stop)
        return load

    def function_everywhere(self, name="echo"):
        self.nodes[0].create(name)
        for node in self.nodes:
            eventually(lambda node=node: node.knows(name), f"{node.key} knows {name}")

    def runs_on(self, at, where):
        """Waits until calls that `at` accepts have run on each of these nodes."""
        seen = set()

        def all_seen():
            answer = at.invoke(params={"n": 1}, CanDoOffloading=True)
            if answer.status == 200:
                seen.add(answer["ExecutionNode"])
            return seen >= set(where)

        eventually(all_seen, f"calls of {at.key} run on {where}")

    def assert_none_wrong(self, load):
        load.stop()
        self.assertEqual(load.wrong, [], dict(load.answers))
        self.assertGreater(load.good(), 0)
