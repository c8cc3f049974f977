"""What the package says of its types is true, and serves those who check theirs."""

import pathlib
import re
import subprocess
import sys

import pytest

import serverledge

pytest.importorskip("mypy", reason="mypy is missing (apt-get install mypy): the types are not checked")

PACKAGE = pathlib.Path(serverledge.__file__).parent
HERE = pathlib.Path(__file__).parent
EXAMPLE = HERE.parents[2] / "bindings/python/examples/night_shift.py"

# A line that ends in "# wrong" is refused, and no other.
PROGRAM = """
import asyncio
from typing import Any

import serverledge


class Waiting(serverledge.OffloadingPolicy):
    def __init__(self) -> None:
        self.seconds = 0.0

    def on_arrival(self, invocation: serverledge.Invocation, view: serverledge.NodeView) -> list[serverledge.Choice]:
        name: int = invocation.function  # wrong
        invocation.qos_class = 3  # wrong
        peers = [peer for peer in view.neighbours if peer.known and peer.warm(invocation.function) > 0]
        if view.pool.warm == 0 and view.function.init_time > invocation.max_response_time > 0:
            return [serverledge.offload(peer) for peer in peers[:2]] + [serverledge.refuse("too late")]
        serverledge.offload("a node")  # wrong
        return [serverledge.RUN, serverledge.WAIT]

    def on_completion(self, invocation: serverledge.Invocation, report: serverledge.Report) -> None:
        self.seconds += report.duration
        report.duration()  # wrong


class Undecided(serverledge.OffloadingPolicy):
    pass


def call(node: serverledge.Functions) -> float:
    node.create("f", handler="f.handler", source=b"", inputs=[("n", "Int")])
    node.create("f", handlers="f.handler")  # wrong
    later: serverledge.Later = node.invoke_async("f", {"n": 1}, qos_class=2)
    answer: serverledge.Answer | None = node.poll(later.id)
    answer.result  # wrong
    try:
        return node.invoke("f", {"n": 1}).duration + later.result(timeout=5).init_time
    except serverledge.FunctionError as error:
        print(error.kind, error.traceback, error.answer.output)
        raise


async def greet(client: serverledge.aio.Client) -> Any:
    client.invoke("f").result  # wrong
    return (await client.invoke("f")).result


with serverledge.Node({"api.port": 0}, policy=Waiting()) as opened:
    call(opened)
    address: str = opened.listen()
    opened.address = address  # wrong
    call(serverledge.Client("127.0.0.1", 1323, timeout=5))
    asyncio.run(greet(serverledge.aio.Client()))
    serverledge.Node(policy=Undecided())  # wrong
    serverledge.Node(policy=print)  # wrong
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """For mypy's memory of what it has read, too."""
    return tmp_path_factory.mktemp("types")


def run(folder, module, *arguments):
    """A tool of mypy, on the package as it is used: what it prints, and whether it is content."""
    done = subprocess.run([sys.executable, "-B", "-m", module, *map(str, arguments)], cwd=folder, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240,
                          env={"PATH": "/usr/bin:/bin", "MYPYPATH": str(PACKAGE.parent), "PYTHONPATH": str(PACKAGE.parent)})
    return done.stdout, done.returncode == 0


def test_the_package_and_its_example_keep_to_their_types(folder):
    for arguments in (["--strict", "-p", "serverledge"], ["--check-untyped-defs", EXAMPLE]):
        said, content = run(folder, "mypy", *arguments)
        assert content, said


def test_a_program_is_told_what_is_wrong_and_nothing_else(folder):
    program = folder / "program.py"
    program.write_text(PROGRAM)
    said, _ = run(folder, "mypy", "--strict", program)
    wrong = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# wrong")}
    assert {int(number) for number in re.findall(r"^program\.py:(\d+): error", said, re.MULTILINE)} == wrong, said


def test_the_native_module_is_as_its_stub_says(folder):
    said, content = run(folder, "mypy.stubtest", "--concise", "--allowlist", HERE / "stubtest_allowed", "serverledge._native")
    assert content, said
