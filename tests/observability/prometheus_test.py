"""A real Prometheus scrapes a node, a real Pushgateway is pushed to, and the dashboard's metrics are there.

Usage: prometheus_test.py <serverledge>"""

import contextlib
import json
import pathlib
import re
import sys
import tempfile
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import live_node as live  # noqa: E402

SERVER = sys.argv.pop(1) if __name__ == "__main__" and len(sys.argv) > 1 else ""
ROOT = pathlib.Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "examples" / "deploy" / "grafana-dashboard.json"
SOURCES = ROOT / "libserverledge" / "src" / "observe"
SETTINGS = {"metrics.enabled": "true", "registry.node.id": "node-one", "sandbox.stock.python": 1,
            "scheduler.queue.capacity": 4}

FUNCTIONS = {
    "quick": "def handler(params, context):\n    return 'x' * 100\n",
    "broken": "def handler(params, context):\n    raise ValueError('on purpose')\n",
    "endless": "import time\ndef handler(params, context):\n    time.sleep(3600)\n",
}


def work(node):
    """Calls whose counts are known: 5 that succeed (1 cold), 2 that raise, 1 that times out, 1 that is refused."""
    for name, source in FUNCTIONS.items():
        node.create(name, source, **({"TimeoutSec": 0.2} if name == "endless" else {}))
    for _ in range(5):
        assert node.invoke("quick")[0] == 200
    for _ in range(2):
        assert node.invoke("broken")[0] == 500
    assert node.invoke("endless")[0] == 504
    assert node.invoke("quick", QoSMaxRespT=1e-9)[0] == 429


EXPECTED = {
    'completed_count{area="ROME",function="quick"}': 5,
    'cold_starts_count{area="ROME",function="quick"}': 1,
    'execution_time_count{function="quick"}': 5,
    'init_time_count{function="quick"}': 1,
    'output_size_sum{function="quick"}': 5 * 102,
    'serverledge_invocations_total{function="quick",outcome="refused"}': 1,
    'serverledge_failures_total{function="broken",kind="raised"}': 2,
    'serverledge_failures_total{function="endless",kind="timeout"}': 1,
    'serverledge_drops_total{reason="deadline"}': 1,
    'serverledge_containers{function="quick",state="idle"}': 1,
    'serverledge_queue_capacity': 4,
    'serverledge_store_up': 1,
}


class Prometheus:
    """The real one, which scrapes one port every second."""

    def __init__(self, stack, target):
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="serverledge-test-")))
        config = folder / "prometheus.yml"
        config.write_text("global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: node\n  static_configs:\n"
                          f"  - targets: ['127.0.0.1:{target}']\n")
        self.port = live.free_port()
        stack.enter_context(live.program(
            [live.installed("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{self.port}"], folder / "log"))

    def query(self, expression):
        """What the expression gives now: a list of (labels, value); None as long as nobody answers."""
        try:
            status, _, body = live.request(self.port, "GET", "/api/v1/query?" + urllib.parse.urlencode(
                {"query": expression}))
        except OSError:
            return None
        if status != 200:
            return None
        return [(row["metric"], float(row["value"][1])) for row in json.loads(body)["data"]["result"]]

    def value(self, expression):
        rows = self.query(expression)
        return rows[0][1] if rows else None


class Scraped(unittest.TestCase):
    def test_prometheus_reads_what_happened(self):
        with contextlib.ExitStack() as stack:
            node = stack.enter_context(live.node(SERVER, SETTINGS))
            prometheus = Prometheus(stack, node.port)
            work(node)
            for series, expected in EXPECTED.items():
                live.eventually(lambda s=series, e=expected: prometheus.value(s) == e,
                                f"{series} is {expected}, but {prometheus.query(series)}")
            self.assertEqual(prometheus.value('up{job="node"}'), 1)
            share = 'sum(cold_starts_count) / sum(completed_count)'
            self.assertIsNotNone(prometheus.value(share))
            quantile = 'histogram_quantile(0.5, sum by (le) (serverledge_response_time_seconds_bucket{function="quick"}))'
            self.assertGreater(prometheus.value(quantile), 0)
            self.assertGreater(prometheus.value("process_resident_memory_bytes"), 1e6)
            self.check_dashboard(prometheus)

    def check_dashboard(self, prometheus):
        """Every query of the dashboard is one that Prometheus understands, of metrics that it has."""
        queries = [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"]
                   for target in panel.get("targets", [])]
        self.assertGreater(len(queries), 10)
        names = {name for query in queries
                 for name in re.findall(r"\b(?:serverledge_\w+|process_\w+|completed_count|cold_starts_count|"
                                        r"(?:execution_time|init_time|output_size)_\w+)", query)}
        served = {labels["__name__"] for labels, _ in prometheus.query('{job="node"}')}
        # What only a node with neighbours has.
        sources = "".join(path.read_text() for path in SOURCES.glob("*.cpp"))
        clustered = {name for name in names if name.startswith(("serverledge_offload", "serverledge_peer"))
                     and f'"{re.sub("_(bucket|sum|count)$", "", name)}"' in sources}
        self.assertEqual(names - clustered - served, set(), "the dashboard asks for what is not served")
        for query in queries:
            query = query.replace("$__rate_interval", "30s").replace("$node", ".*")
            self.assertIsNotNone(prometheus.query(query), f"Prometheus refuses {query}")


class Pushed(unittest.TestCase):
    def test_a_pushgateway_has_the_nodes_metrics_also_those_of_its_end(self):
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="serverledge-test-")))
            port = live.free_port()
            stack.enter_context(live.program([live.installed("prometheus-pushgateway"),
                                              f"--web.listen-address=127.0.0.1:{port}"], folder / "log"))

            def answers():
                try:
                    return live.request(port, "GET", "/-/ready")[0] == 200
                except OSError:
                    return False
            live.eventually(answers, "the Pushgateway answers")
            node = stack.enter_context(live.node(SERVER, {
                **SETTINGS, "metrics.prometheus.pushgateway.host": "127.0.0.1",
                "metrics.prometheus.pushgateway.port": port, "metrics.prometheus.pushgateway.interval": 3600}))

            def pushed(line):
                text = live.request(port, "GET", "/metrics")[2].decode()
                return re.search("^" + re.escape(line) + r"(\s|$)", text, re.MULTILINE)
            live.eventually(lambda: pushed('serverledge_queue_capacity{instance="",job="serverledge",'
                                           'node="(ROME)node-one"} 4'), "the first push")
            work(node)
            self.assertEqual(node.stop(), 0)
            self.assertTrue(pushed('completed_count{area="ROME",function="quick",instance="",job="serverledge",'
                                   'node="(ROME)node-one"} 5'), "the last push")


class Off(unittest.TestCase):
    def test_there_is_no_such_route_unless_it_is_asked_for(self):
        with live.node(SERVER) as node:
            self.assertEqual(node.request("GET", "/metrics")[0], 404)


if __name__ == "__main__":
    for needed in ("prometheus", "prometheus-pushgateway"):
        live.installed(needed)
    unittest.main()
