"""What the tests of the Python package share."""

import time

import pytest

import serverledge

DEADLINE = 60  # seconds that anything may take; this is no measure of speed

SOURCE = """
import time

def handler(params, context):
    print("called")
    if "seconds" in params:
        time.sleep(params["seconds"])
    return {"quotient": 100 // params.get("divisor", 1)}
"""


def eventually(check):
    """The first true value that `check` gives."""
    deadline = time.monotonic() + DEADLINE
    while not (value := check()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)
    return value


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "divide.py"
    path.write_text(SOURCE)
    return path


def create_divide(node, source):
    node.create("divide", handler="divide.handler", source=source, memory=64)


@pytest.fixture
def node(source):
    """A node in this process, with the function `divide`."""
    with serverledge.Node({"container.pool.memory": 512, "scheduler.queue.capacity": 100, "api.port": 0}) as opened:
        create_divide(opened, source)
        yield opened


@pytest.fixture(params=["embedded", "http"])
def either(request, node):
    """The node itself, and the same over HTTP."""
    if request.param == "embedded":
        yield node
        return
    host, port = node.listen().rsplit(":", 1)
    with serverledge.Client(host, int(port)) as client:
        yield client
