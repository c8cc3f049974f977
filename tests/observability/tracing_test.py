"""Traces and logs of a real node: what stands in them, and what never does.

Usage: tracing_test.py <serverledge>"""

import concurrent.futures
import json
import pathlib
import re
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import live_node as live  # noqa: E402

SERVER = sys.argv.pop(1) if __name__ == "__main__" and len(sys.argv) > 1 else ""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"

CONTEXT = "def handler(params, context):\n    return [context['Traceparent'], context['Tracestate'], context['RequestId']]\n"
FAILING = "def handler(params, context):\n    print('out-secret')\n    raise ValueError('message-secret ' + params['p'])\n"
WAITING = "import time\ndef handler(params, context):\n    time.sleep(params['seconds'])\n"


def spans_of(*files):
    """All spans of the files, as dictionaries with their attributes, by trace."""
    traces = {}
    for file in files:
        for line in pathlib.Path(file).read_text().splitlines():
            for resource in json.loads(line)["resourceSpans"]:
                instance = next(a["value"]["stringValue"] for a in resource["resource"]["attributes"]
                                if a["key"] == "service.instance.id")
                for scope in resource["scopeSpans"]:
                    for span in scope["spans"]:
                        span.update({a["key"]: next(iter(a["value"].values())) for a in span["attributes"]})
                        span["node"] = instance
                        traces.setdefault(span["traceId"], []).append(span)
    return traces


def named(spans, name):
    return [span for span in spans if span["name"] == name]


class Tracing(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="serverledge-test-")))

    def node(self, **settings):
        file = self.folder / "trace.json"
        return file, self.enterContext(live.node(SERVER, {
            "tracing.enabled": "true", "tracing.outfile": file, "registry.node.id": "one", **settings}))

    def check_form(self, spans):
        """What OTLP wants, and that children lie within their parents."""
        by_id = {span["spanId"]: span for span in spans}
        self.assertEqual(len(by_id), len(spans))
        for span in spans:
            self.assertRegex(span["traceId"], "^[0-9a-f]{32}$")
            self.assertRegex(span["spanId"], "^[0-9a-f]{16}$")
            self.assertIn(span["kind"], (1, 2, 3))
            begin, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
            self.assertLessEqual(begin, end)
            self.assertGreater(begin, 1_600_000_000 * 10**9)
            parent = by_id.get(span.get("parentSpanId"))
            if parent:
                slack = 10**6  # the offset between the two clocks is looked at again every second
                self.assertGreaterEqual(begin, int(parent["startTimeUnixNano"]) - slack, span)
                self.assertLessEqual(end, int(parent["endTimeUnixNano"]) + slack, span)

    def test_a_call_is_part_of_its_callers_trace_and_the_function_is_told(self):
        file, node = self.node()
        node.create("context", CONTEXT)
        sent = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=value"}
        status, _, text = node.invoke("context", sent)
        self.assertEqual(status, 200)
        told, state, request = json.loads(json.loads(text)["Result"])
        self.assertEqual(node.stop(), 0)  # which writes what waits
        spans = spans_of(file)[TRACE]
        self.check_form(spans)
        self.assertEqual(sorted(span["name"] for span in spans), ["arrive", "decide", "execute", "invocation", "start"])
        root, = named(spans, "invocation")
        self.assertEqual(root["parentSpanId"], CALLER)
        self.assertEqual(root["kind"], 2)
        self.assertEqual(root["traceState"], "vendor=value")
        self.assertTrue(root["faas.coldstart"])
        for span in spans:
            self.assertEqual((span["function"], span["request"], span["node"]), ("context", request, "(ROME)one"))
            if span is not root:
                self.assertEqual(span["parentSpanId"], root["spanId"])
        self.assertEqual(told, f"00-{TRACE}-{named(spans, 'execute')[0]['spanId']}-01")
        self.assertEqual(state, "vendor=value")

    def test_waits_failures_and_refusals_are_seen(self):
        file, node = self.node(**{"container.pool.memory": 64, "scheduler.queue.capacity": 10,
                                  "sandbox.stock.python": 0, "sandbox.stock.nodejs": 0})
        node.create("waiting", WAITING)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            calls = [pool.submit(node.invoke, "waiting", Params={"seconds": 0.3}) for _ in range(3)]
            self.assertEqual({call.result()[0] for call in calls}, {200})
        self.assertEqual(node.invoke("waiting", QoSMaxRespT=1e-9, Params={"seconds": 0})[0], 429)
        node.create("failing", FAILING)
        self.assertEqual(node.invoke("failing", Params={"p": "param-secret"})[0], 500)
        self.assertEqual(node.stop(), 0)
        traces = spans_of(file)
        self.assertEqual(len(traces), 5)  # a call without a trace begins its own
        every = [span for spans in traces.values() for span in spans]
        for spans in traces.values():
            self.check_form(spans)
            self.assertNotIn("parentSpanId", named(spans, "invocation")[0])
        self.assertGreaterEqual(len(named(every, "wait")), 2)
        self.assertEqual(sorted(span.get("status", {}).get("message", "") for span in named(every, "invocation")),
                         ["", "", "", "deadline", "raised"])
        self.assertEqual([s["status"] for s in named(every, "execute") if s["function"] == "failing"],
                         [{"code": 2, "message": "raised"}])
        self.assertNotIn("secret", file.read_text())

    def test_a_trace_that_the_caller_does_not_record_is_only_passed_on(self):
        file, node = self.node()
        node.create("context", CONTEXT)
        parent = f"00-{TRACE}-{CALLER}-00"
        answer = json.loads(node.invoke("context", {"traceparent": parent})[2])
        self.assertEqual(json.loads(answer["Result"])[0], parent)
        self.assertEqual(node.stop(), 0)
        self.assertEqual(spans_of(file), {})

    def test_without_tracing_the_function_gets_what_the_caller_sent_if_it_is_a_trace(self):
        node = self.enterContext(live.node(SERVER))
        node.create("context", CONTEXT)
        for sent, told in ((f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-01"), ("nonsense", ""), ("", "")):
            answer = json.loads(node.invoke("context", {"traceparent": sent, "tracestate": "a=b"})[2])
            self.assertEqual(json.loads(answer["Result"])[:2], [told, "a=b" if told else ""])

    def test_a_file_that_cannot_be_written_stops_the_start_and_is_named(self):
        log = self.folder / "log"
        config = self.folder / "node.yaml"
        config.write_text("api.port: 0\nstore.path: ':memory:'\ntracing.enabled: true\ntracing.outfile: /nowhere/t\n")
        with live.program([SERVER, config], log) as process:
            self.assertEqual(process.wait(timeout=live.DEADLINE), 1)
        self.assertIn("tracing.outfile: cannot open /nowhere/t", log.read_text())


class Logs(unittest.TestCase):
    def test_a_warm_call_is_no_line_and_what_concerns_a_call_has_its_id(self):
        for form in ("text", "json"):
            with self.subTest(form), live.node(SERVER, {"log.format": form}) as node:
                node.create("context", CONTEXT)
                node.create("failing", FAILING)
                self.assertEqual(node.invoke("context")[0], 200)
                before = node.log()
                for _ in range(20):
                    self.assertEqual(node.invoke("context")[0], 200)
                self.assertEqual(node.log(), before)
                self.assertEqual(node.invoke("failing", Params={"p": "param-secret"})[0], 500)
                self.assertEqual(node.invoke("context", QoSMaxRespT=1e-9)[0], 429)
                lines = live.eventually(lambda: [line for line in node.log()[len(before):].splitlines()], "lines")
                self.assertEqual(len(lines), 2, lines)
                for line in lines:
                    self.assertRegex(line, r'"request":"\w+-[0-9a-f]{32}"' if form == "json" else r"request=\w+-[0-9a-f]{32}")

    def test_containers_are_told_of_with_the_call_that_they_started_or_went_for(self):
        source = "def handler(params, context):\n    return context['RequestId']\n"
        with live.node(SERVER, {"log.level": "debug", "container.pool.memory": 64, "sandbox.stock.python": 0,
                                "sandbox.stock.nodejs": 0}) as node:
            node.create("first", source)
            node.create("second", source)
            first, second = (json.loads(json.loads(node.invoke(name)[2])["Result"]) for name in ("first", "second"))
            for line in (f"container started request={first} function=first", f"container started request={second} function=second",
                         f"container gone request={second} function=first reason=evicted"):
                live.eventually(lambda: line in node.log(), line)
            self.assertEqual(node.request("POST", "/delete", {"Name": "second"})[0], 200)
            live.eventually(lambda: "container gone request=none function=second" in node.log(), "what nobody's call was about")

    def test_nothing_of_params_results_and_output_is_in_a_log_of_any_level(self):
        with live.node(SERVER, {"log.level": "debug"}) as node:
            node.create("echo", "def handler(params, context):\n    print('out-secret')\n    return params\n")
            node.create("failing", FAILING)
            for name, expected in (("echo", 200), ("failing", 500)):
                for output in (False, True):
                    status, _, text = node.invoke(name, Params={"p": "param-secret"}, ReturnOutput=output)
                    self.assertEqual(status, expected)
                    self.assertIn(b"secret", text)
            self.assertEqual(node.invoke("echo", Params="param-secret")[0], 400)
            self.assertEqual(node.request("POST", "/invoke/echo", '{"Params": {"param-secret"')[0], 400)
            live.eventually(lambda: len(re.findall("function failed", node.log())) == 2, "the failures are logged")
            self.assertNotIn("secret", node.log())


if __name__ == "__main__":
    unittest.main()
