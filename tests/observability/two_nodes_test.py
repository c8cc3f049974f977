"""Two real nodes over a real etcd: one trace across both, and what the metrics of each tell of the other.

Usage: two_nodes_test.py <serverledge>"""

import json
import pathlib
import re
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import live_node as live  # noqa: E402
from observability.tracing_test import CALLER, CONTEXT, TRACE, named, spans_of  # noqa: E402

SERVER = sys.argv.pop(1) if __name__ == "__main__" and len(sys.argv) > 1 else ""
DASHBOARD = pathlib.Path(__file__).resolve().parents[2] / "examples" / "deploy" / "grafana-dashboard.json"


class TwoNodes(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="serverledge-test-")))
        client, peer = live.free_port(), live.free_port()
        self.etcd = f"127.0.0.1:{client}"
        self.enterContext(live.program(
            [live.installed("etcd"), "--name", "alone", "--data-dir", self.folder / "etcd",
             "--listen-client-urls", f"http://{self.etcd}", "--advertise-client-urls", f"http://{self.etcd}",
             "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls",
             f"http://127.0.0.1:{peer}", "--initial-cluster", f"alone=http://127.0.0.1:{peer}"],
            self.folder / "etcd.log"))

        def healthy():
            try:
                return live.request(client, "GET", "/health")[0] == 200
            except OSError:
                return False
        live.eventually(healthy, "etcd answers")

    def node(self, name, **settings):
        return self.enterContext(live.node(SERVER, {
            "etcd.address": self.etcd, "api.ip": "127.0.0.1", "registry.node.id": name, "registry.udp.port": 0,
            "registry.nearby.interval": 0.2, "metrics.enabled": "true", "tracing.enabled": "true",
            "tracing.outfile": self.folder / f"{name}.json", **settings}, name))

    def offloaded(self, one, headers):
        """The answer of the first call to node one that node two ran."""
        def call():
            status, _, text = one.invoke("context", headers)
            self.assertEqual(status, 200, text)
            answer = json.loads(text)
            return answer if answer["ExecutionNode"] == "two" else None
        return live.eventually(call, "a call to node one runs on node two")

    def test_a_call_that_is_offloaded_is_one_trace(self):
        one = self.node("one", **{"scheduler.policy": "edgeonly"})
        two = self.node("two")
        one.create("context", CONTEXT)
        live.eventually(lambda: two.invoke("context")[0] == 200, "node two knows the function")
        self.offloaded(one, {})
        answer = self.offloaded(one, {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=value"})

        def metrics(node):
            return node.request("GET", "/metrics")[2].decode()
        self.assertIn('serverledge_offloads_total{outcome="succeeded",target="two"} ', metrics(one))
        self.assertIn('serverledge_offload_time_seconds_count{outcome="succeeded"} ', metrics(one))
        self.assertIn('serverledge_peer_usable{target="two",kind="neighbour"} 1', metrics(one))
        self.assertNotIn("serverledge_offloads_total{", metrics(two))
        # All else that the dashboard asks for is asked for in prometheus_test.py, of a node without neighbours.
        for name in set(re.findall(r"\bserverledge_(?:offload|peer)\w+", DASHBOARD.read_text())):
            self.assertRegex(metrics(one), rf"(?m)^{name}\{{")

        self.assertEqual((one.stop(), two.stop()), (0, 0))
        spans = spans_of(self.folder / "one.json", self.folder / "two.json")[TRACE]
        offload = named(spans, "offload")[-1]
        self.assertEqual((offload["node"], offload["peer"], offload["kind"]), ("(ROME)one", "two", 3))
        ours = next(span for span in named(spans, "invocation") if span["spanId"] == offload["parentSpanId"])
        self.assertEqual((ours["node"], ours["parentSpanId"]), ("(ROME)one", CALLER))
        theirs = next(span for span in named(spans, "invocation") if span.get("parentSpanId") == offload["spanId"])
        self.assertEqual((theirs["node"], theirs["traceState"]), ("(ROME)two", "vendor=value"))
        execute = next(span for span in named(spans, "execute") if span["parentSpanId"] == theirs["spanId"])
        told, state, _ = json.loads(answer["Result"])
        self.assertEqual(told, f"00-{TRACE}-{execute['spanId']}-01")
        self.assertEqual(state, "vendor=value")


if __name__ == "__main__":
    live.installed("etcd")
    unittest.main()
