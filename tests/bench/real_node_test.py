"""The load generator against a real node: cold calls, many functions, its plot, its progress, and Ctrl-C.

Usage: real_node_test.py <serverledge> <serverledge-bench>"""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import live_node as live  # noqa: E402

SERVER, BENCH = sys.argv[1:3]
SOURCE = "def handler(params, context):\n    return params\n"
SVG = "{http://www.w3.org/2000/svg}"


class AgainstARealNode(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="serverledge-test-")))
        cls.node = cls.enterClassContext(live.node(SERVER, {"scheduler.queue.capacity": 1000}))
        (cls.folder / "echo.py").write_text(SOURCE)
        for name in ("a", "b", "c"):
            cls.node.create(name, SOURCE)

    def command(self, *arguments):
        return [BENCH, "-P", str(self.node.port), *map(str, arguments)]

    def bench(self, *arguments, status=0):
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=live.DEADLINE)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout, done.stderr

    def json(self, *arguments, status=0):
        return json.loads(self.bench(*arguments, "--json", status=status)[0])

    def functions(self):
        return set(json.loads(self.node.request("GET", "/function")[2]))

    def cold(self, *arguments):
        return self.json("--cold", "--src", self.folder / "echo.py", "--handler", "echo.handler", "--memory", 64, *arguments)

    def test_warm_calls_of_many_functions(self):
        outcome = self.json("-f", "a,b,c", "--zipf", "1.2", "-n", "300", "-c", "4", "--params", '{"n": 1}')
        self.assertEqual(outcome["Successes"], 300)
        self.assertEqual(outcome["Warm"] + outcome["Cold"], 300)
        parts = outcome["Functions"]
        self.assertEqual(sum(part["Successes"] for part in parts.values()), 300)
        self.assertGreater(parts["a"]["Successes"], parts["c"]["Successes"])
        latency = outcome["Latency"]
        quantiles = [latency[name] for name in ("Min", "P50", "P90", "P99", "P999", "Max")]
        self.assertEqual(quantiles, sorted(quantiles))

    def test_cold_calls_of_a_closed_loop_are_all_cold_and_leave_nothing_behind(self):
        outcome = self.cold("-n", 12, "-c", 3)
        self.assertEqual((outcome["Successes"], outcome["Cold"], outcome["Warm"]), (12, 12, 0))
        self.assertEqual(outcome["ColdLatency"]["Max"], outcome["Latency"]["Max"])
        self.assertEqual(outcome["LeftBehind"], 0)
        self.assertEqual(self.functions(), {"a", "b", "c"})

    def test_cold_calls_of_an_open_loop_are_all_cold_and_leave_nothing_behind(self):
        outcome = self.cold("-r", 10, "-n", 12, "--poisson")
        self.assertEqual((outcome["Successes"], outcome["Cold"], outcome["Warm"]), (12, 12, 0))
        self.assertEqual(self.functions(), {"a", "b", "c"})

    def test_what_the_node_says_of_a_bad_cold_function_is_told(self):
        _, error = self.bench("--cold", "--src", self.folder / "echo.py", "--handler", "echo.handler", "--runtime",
                              "cobol", status=2)
        self.assertIn("does not register the function: 404 Invalid runtime", error)

    def test_the_plot_is_xml_that_shows_what_it_should(self):
        for name, arguments, status in (("plain.svg", ("-f", "a", "-n", 200), 0), ("none.svg", ("--path", "/<&>\"'"), 2)):
            file = self.folder / name
            self.bench(*arguments, "--plot", file, *(() if "-n" in arguments else ("-n", 1)), status=status)
            root = xml.etree.ElementTree.parse(file).getroot()
            self.assertEqual(root.tag, f"{SVG}svg")
            texts = [text.text for text in root.iter(f"{SVG}text")]
            if status != 0:
                self.assertIn("no call succeeded", texts)
                self.assertIn("/<&>\"'", root.find(f"{SVG}title").text)
                continue
            for wanted in ("0%", "50%", "90%", "99%"):
                self.assertIn(wanted, texts)
            self.assertTrue(any(text.startswith("percentile") for text in texts), texts)
            self.assertTrue(any(text.startswith("latency") for text in texts), texts)
            self.assertGreaterEqual(sum(text.endswith(" ms") and "max" not in text for text in texts), 2, texts)
            points = [tuple(map(float, point.split(","))) for point in root.find(f"{SVG}polyline").get("points").split()]
            self.assertEqual(points, sorted(points, key=lambda point: (point[0], -point[1])), "a curve that only rises")
            self.assertEqual(points[0][0], 90)
            self.assertEqual(points[-1][0], 870)

    def test_ctrl_c_ends_early_with_what_was_measured(self):
        for arguments in (("-f", "a"), ("-f", "a", "-c", 8), ("-f", "a", "-r", 50),
                          ("--cold", "--src", self.folder / "echo.py", "--handler", "echo.handler", "--memory", 64)):
            command = self.command(*arguments, "-d", 600, "--json", "--progress")
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
                line = running.stderr.readline()
                self.assertRegex(line, r"^ +\d+\.\d s: \d+ ended, \d+\.\d/s, mean \d+\.\d+ ms, 0 failed, \d+ under way$")
                running.send_signal(signal.SIGINT)
                out, error = running.communicate(timeout=live.DEADLINE)
            self.assertEqual(running.returncode, 0, out + error)
            outcome = json.loads(out)
            self.assertTrue(outcome["Interrupted"])
            self.assertGreater(outcome["Successes"], 0)
        self.assertEqual(self.functions(), {"a", "b", "c"})

    def test_no_progress_where_nobody_watches(self):
        self.assertEqual(self.bench("-f", "a", "-d", "1.5")[1], "")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
