"""docs/openapi.yaml against the code and against a running node, which is sent requests made from the description.

Usage: openapi_test.py <serverledge>"""

import base64
import contextlib
import copy
import json
import pathlib
import random
import re
import sys
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import live_node as live  # noqa: E402

try:
    import jsonschema
    import yaml
except ImportError as missing:
    live.skip(f"{missing.name} is not installed (python3-{missing.name})")

SERVER = sys.argv.pop(1) if __name__ == "__main__" and len(sys.argv) > 1 else ""
ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "openapi.yaml").read_text()
DESCRIPTION = yaml.safe_load(TEXT)
METHODS = ("get", "put", "post", "delete", "patch", "head", "options")

CODE = "def handler(params, context):\n    if params.get('raise'):\n        raise ValueError('on purpose')\n    return params\n"


def operations():
    for path, item in DESCRIPTION["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def resolved(value):
    """What a $ref stands for."""
    while isinstance(value, dict) and "$ref" in value:
        target = DESCRIPTION
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        value = target
    return value


def validator(schema):
    """Of a schema in the description, so that its $refs are found there."""
    return jsonschema.Draft202012Validator({**schema, "components": DESCRIPTION["components"]})


class TheDescription(unittest.TestCase):
    def test_it_is_openapi_and_every_reference_leads_somewhere(self):
        self.assertTrue(DESCRIPTION["openapi"].startswith("3.1."))
        ids = [operation["operationId"] for _, _, operation in operations()]
        self.assertEqual(len(ids), len(set(ids)))
        for reference in re.findall(r'\$ref: "([^"]+)"', TEXT):
            self.assertIsNotNone(resolved({"$ref": reference}))
        for method, path, operation in operations():
            with self.subTest(method=method, path=path):
                declared = {p["name"] for p in map(resolved, operation.get("parameters", [])) if p["in"] == "path"}
                self.assertEqual(declared, set(re.findall(r"{(\w+)}", path)))
                self.assertIn("200", operation["responses"])
                for answer in map(resolved, operation["responses"].values()):
                    self.assertTrue(answer["description"])
                    for content in answer.get("content", {}).values():
                        jsonschema.Draft202012Validator.check_schema(content["schema"])
        for schema in DESCRIPTION["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)

    def test_every_route_of_the_code_is_described_and_nothing_else(self):
        found, calls = set(), 0
        for source in (ROOT / "libserverledge" / "src" / "api").rglob("*.cpp"):
            text = source.read_text()
            calls += len(re.findall(r"\bserver\w*(?:\.|->)route\(", text))
            found |= {(method, re.sub(r":\w+", "{}", path)) for method, path in
                      re.findall(r'\bserver\w*(?:\.|->)route\(\s*"(\w+)",\s*"([^"]+)"', text)}
        self.assertEqual(len(found), calls, "a route whose method or path this test cannot read")
        described = {(method, re.sub(r"{\w+}", "{}", path)) for method, path, _ in operations()}
        self.assertEqual(found, described)


class Generated:
    """Requests made from the description. The seed is in every message, so that a failure can be had again."""

    WRONG = [True, 0, -1, 1.5, 1e308, "", "text", "\u0000\U0001f600", [], [1], {}, {"a": {"b": []}}, 2**31, -2**31 - 1, 2**63, 2**80]

    def __init__(self, seed):
        self.chance = random.Random(seed)

    def variants(self, schema, valid):
        """(body, whether the schema allows it): every property replaced, left out, nulled, doubled, renamed."""
        check = validator(schema)
        for name in schema["properties"]:
            for wrong in self.WRONG + [None]:
                yield self.judged(check, {**valid, name: wrong})
            without = {key: value for key, value in valid.items() if key != name}
            yield self.judged(check, without)
            if name in valid:
                yield json.dumps({**without, name.swapcase(): valid[name]}), check.is_valid(valid)
                yield json.dumps(valid)[:-1] + f', "{name}": {json.dumps(valid[name])}}}', True
        for _ in range(40):
            body = copy.deepcopy(valid)
            for name in self.chance.sample(sorted(schema["properties"]), min(2, len(schema["properties"]))):
                body[name] = self.chance.choice(self.WRONG)
            yield self.judged(check, body)
        yield json.dumps({**valid, "Unknown \u00e9": [1, {"x": None}]}), True

    @staticmethod
    def judged(check, body):
        return json.dumps(body), check.is_valid(body)

    NO_OBJECTS = ["[]", "1", '"text"', "null", "true", "{", "}", '{"a":}', "{} {}", "{}x", "{'a':1}", "\u00ff", "\ufeff{}",
                  '{"a":1,}', '{"a":NaN}', "[" * 100000, '{"a":' * 80 + "1" + "}" * 80, '{"a":"\ud800"}']


class AgainstANode(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.seed = random.SystemRandom().randrange(2**32)
        cls.stack = contextlib.ExitStack()
        cls.node = cls.stack.enter_context(live.node(SERVER, {
            "metrics.enabled": "true", "api.body.max": 0.25, "api.code.max": 0.25, "code.url.schemes": "",
            "container.pool.memory": 256, "container.pool.cpus": 2}))
        cls.node.create("echo", CODE)

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    def send(self, method, path, operation, body=None, headers=None, where=None):
        """Sends it and checks the answer: a described status, its type, its schema, its headers."""
        status, got, text = self.node.request(method, where or path, body, headers)
        told = f"{method} {where or path} {str(body)[:300]} (seed {self.seed}): {status} {text[:300]}"
        self.assertIn(str(status), operation["responses"], told)
        answer = resolved(operation["responses"][str(status)])
        for name, header in answer.get("headers", {}).items():
            if resolved(header).get("required"):
                # What is accepted for later, or refused before the function was found, has none of the node's.
                self.assertIn(name, got, told)
        content = answer.get("content")
        if not content:
            self.assertEqual(text, b"", told)
            return status, text
        kind = got["Content-Type"].split(";")[0]
        self.assertIn(kind, content, told)
        value = json.loads(text) if kind == "application/json" else text.decode()
        errors = [error.message for error in validator(content[kind]["schema"]).iter_errors(value)]
        self.assertEqual(errors, [], told)
        return status, text

    def operation(self, identifier):
        return next(row for row in operations() if row[2]["operationId"] == identifier)

    def try_bodies(self, identifier, valid, where=None, allowed=(), refusals=(400,)):
        """What the schema allows is not refused as malformed (unless for a reason in `allowed`), and what it does not is,
        with one of `refusals`."""
        method, path, operation = self.operation(identifier)
        schema = resolved(resolved(operation["requestBody"])["content"]["application/json"]["schema"])
        generated = Generated(self.seed)
        counts = {True: 0, False: 0}
        for body, good in generated.variants(schema, valid):
            status, text = self.send(method, path, operation, body, where=where)
            counts[good] += 1
            told = f"{method} {path} {body[:300]} (seed {self.seed}): {status} {text[:300]}"
            if not good:
                self.assertIn(status, refusals, told)
            elif status == 400:
                self.assertTrue(any(reason in text.decode() for reason in allowed), told)
        for body in generated.NO_OBJECTS:
            status, _ = self.send(method, path, operation, body.encode("utf-8", "surrogatepass"), where=where)
            self.assertEqual(status, 400, f"{method} {path} {body[:100]}")
        self.send(method, path, operation, b" " * (300 << 10) if "create" not in path and "update" not in path
                  else b" " * (600 << 10), where=where)
        self.assertGreater(min(counts.values()), 10, counts)

    def test_invocations(self):
        self.try_bodies("invoke", {"Params": {"a": 1}, "QoSClass": 0, "QoSMaxRespT": 30.5, "ReturnOutput": True},
                        "/invoke/echo")

    def test_functions(self):
        code = base64.b64encode(CODE.encode()).decode()
        valid = {"Name": "made", "Runtime": "python314", "MemoryMB": 64, "CPUDemand": 0.5, "MaxConcurrency": 2,
                 "Handler": "made.handler", "TarFunctionCode": code, "TimeoutSec": 10,
                 "Signature": {"Inputs": [{"Name": "a", "Type": "Int"}], "Outputs": []}}
        # Beyond the form of a request: what stands in the code.
        allowed = ("Handler: ", "TarFunctionCode: ")
        # No runtime is none that is served, no memory is too little.
        refusals = (400, 404, 422)
        self.try_bodies("update", valid, allowed=allowed, refusals=refusals)
        self.try_bodies("create", {**valid, "Name": "echo"}, allowed=allowed, refusals=refusals)
        method, path, operation = self.operation("create")
        self.assertEqual(self.send(method, path, operation, {**valid, "Name": "created"})[0], 200)
        self.assertEqual(self.send(method, path, operation, {**valid, "Name": "created"})[0], 409)
        self.assertEqual(self.send(method, path, operation, {**valid, "Runtime": "cobol"})[0], 404)
        self.assertEqual(self.send(method, path, operation, {**valid, "Name": "big", "MemoryMB": 10**6})[0], 422)
        for signature in ({"Inputs": [{}]}, {"Outputs": {}}, {"Inputs": [{"Name": "a", "Type": "Int32"}]}):
            self.assertEqual(self.send(method, path, operation, {**valid, "Name": "s", "Signature": signature})[0], 400)

    def test_delete(self):
        self.try_bodies("delete", {"Name": "nobody"})
        method, path, operation = self.operation("delete")
        self.node.create("gone", CODE)
        self.assertEqual(self.send(method, path, operation, {"Name": "gone"})[0], 200)
        self.assertEqual(self.send(method, path, operation, {"Name": "gone"})[0], 404)

    def test_prewarming(self):
        # A number of instances that the schema allows may be more than this machine should start.
        method, path, operation = self.operation("prewarm")
        self.try_bodies("prewarm", {"Function": "nobody", "Instances": 0})
        self.assertEqual(self.send(method, path, operation, {"Function": "echo", "Instances": 1})[0], 200)

    def test_answers_of_functions(self):
        method, path, operation = self.operation("invoke")
        self.assertEqual(self.send(method, path, operation, {"Params": {"raise": True}}, where="/invoke/echo")[0], 500)
        self.node.create("slow", "import time\ndef handler(params, context):\n    time.sleep(3600)\n", TimeoutSec=0.1)
        self.assertEqual(self.send(method, path, operation, {}, where="/invoke/slow")[0], 504)
        self.assertEqual(self.send(method, path, operation, {"QoSMaxRespT": 1e-9}, where="/invoke/echo")[0], 429)
        for name in ("nobody", "..", "%2e%2e", "a%2Fb", "%00", "\u00e9", "x" * 64, "%", "%zz"):
            where = "/invoke/" + urllib.parse.quote(name, safe="%")
            self.assertEqual(self.send(method, path, operation, {}, where=where)[0], 404)

    def test_polling(self):
        method, path, operation = self.operation("poll")
        _, _, invoke = self.operation("invoke")
        for raises, expected in ((False, 200), (True, 500)):
            status, text = self.send("POST", "/invoke/{function}", invoke,
                                     {"Async": True, "Params": {"raise": raises}}, where="/invoke/echo")
            self.assertEqual(status, 200)
            where = "/poll/" + json.loads(text)["ReqId"]
            live.eventually(lambda w=where, e=expected: self.send(method, path, operation, where=w)[0] == e,
                            "the answer can be polled")
        for name in ("nobody", "%00", "x" * 400):
            self.assertEqual(self.send(method, path, operation, where="/poll/" + name)[0], 404)

    def test_what_is_only_asked_for(self):
        for identifier in ("listFunctions", "listFunctionsToo", "status", "health", "readiness", "metrics", "description"):
            method, path, operation = self.operation(identifier)
            for query in ("", "?details=true", "?details=%00&details=1", "?x=%"):
                self.assertEqual(self.send(method, path, operation, where=path + query)[0], 200)
        self.assertEqual(self.node.request("GET", "/openapi.yaml")[2].decode(), TEXT)

    def test_methods_that_are_not_described_are_refused(self):
        for path, item in DESCRIPTION["paths"].items():
            for method in METHODS:
                if method not in item:
                    status, headers, _ = self.node.request(method.upper(), re.sub(r"{\w+}", "x", path))
                    self.assertEqual(status, 405, f"{method} {path}")
                    self.assertEqual(headers["Allow"], ", ".join(m.upper() for m in METHODS if m in item))


if __name__ == "__main__":
    unittest.main()
