"""Policies in Python: whatever they do, calls are served."""

import threading
import time

import pytest

import serverledge
from conftest import create_divide, eventually


class Policy(serverledge.OffloadingPolicy):
    """Does what the test says."""

    def __init__(self, decide):
        self.decide = decide
        self.threads = set()

    def on_arrival(self, invocation, view):
        self.threads.add(threading.get_ident())
        return self.decide(invocation, view)


def open_node(policy, source, **more):
    node = serverledge.Node({"container.pool.memory": 512, "policy.timeout": 5, **more}, policy=policy)
    create_divide(node, source)
    return node


def test_it_decides_on_one_thread_of_its_own(source):
    seen = []

    def decide(invocation, view):
        seen.append((invocation.function, invocation.qos_class, invocation.can_offload, invocation.memory))
        return serverledge.refuse("too low") if invocation.qos_class < 0 else [serverledge.RUN, serverledge.WAIT]

    policy = Policy(decide)
    with open_node(policy, source) as node:
        assert node.invoke("divide", qos_class=3).result == {"quotient": 100}
        with pytest.raises(serverledge.Refused, match="too low"):
            node.invoke("divide", qos_class=-1, offload=False)
        callers = [threading.Thread(target=node.invoke, args=("divide",)) for _ in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert node.invoke_async("divide").result(timeout=60).result == {"quotient": 100}
        counts = node.policy_counts()
    assert seen[:2] == [("divide", 3, True, 64), ("divide", -1, False, 64)]
    assert counts["asked"] == counts["decided"] == 11 and counts["waited"] > 0
    assert len(policy.threads) == 1 and threading.get_ident() not in policy.threads


def test_it_sees_the_node_and_may_keep_what_it_saw(source):
    kept = []

    def decide(invocation, view):
        kept.append((invocation, view, view.pool, view.function))
        return serverledge.RUN

    with open_node(Policy(decide), source) as node:
        node.invoke("divide", {"divisor": 2}, max_response_time=30)
        node.invoke("divide")
    (first, before, pool, _), (_, after, _, estimate) = kept
    assert first.id.startswith("divide-") and first.runtime == "python314" and first.input_size == len('{"divisor":2}')
    assert first.max_response_time == pytest.approx(30) and not first.asynchronous and first.cpu == 0
    assert pool.total_memory == 512 and pool.busy_memory == 0 and pool.warm == 0 and pool.queued == 0
    assert pool.total_cores > 0 and pool.busy_cores == 0 and pool.busy == 0 and pool.starting == 0
    assert after.pool.warm == 1 and after.now > before.now
    assert estimate.completions == 1 and estimate.duration > 0 and estimate.init_time > 0
    assert before.neighbours == [] and before.cloud == [] and before.runnable_here
    assert before.architecture in ("amd64", "arm64")


def test_it_is_told_how_calls_ended_and_that_time_passes(source):
    class Learning(serverledge.OffloadingPolicy):
        def __init__(self):
            self.ended = []
            self.ticked = threading.Event()

        def on_arrival(self, invocation, view):
            return serverledge.RUN

        def on_completion(self, invocation, report):
            self.ended.append((invocation.function, report.failure, report.warm, report.duration > 0))

        def on_tick(self, view):
            assert view.pool.total_memory == 512
            self.ticked.set()

    policy = Learning()
    with open_node(policy, source) as node:
        node.invoke("divide")
        with pytest.raises(serverledge.FunctionError):
            node.invoke("divide", {"divisor": 0})
        eventually(lambda: len(policy.ended) == 2)
        assert policy.ticked.wait(60)
    assert policy.ended == [("divide", "", False, True), ("divide", "raised", True, True)]


@pytest.mark.parametrize("said", [None, "RUN", 7, [serverledge.RUN, 7], [serverledge.RUN] * 5])
def test_what_is_no_decision_is_decided_as_by_localonly(source, said):
    with open_node(Policy(lambda invocation, view: said), source) as node:
        assert node.invoke("divide").result == {"quotient": 100}
        assert node.policy_counts()["failed"] == 1


class Unspeakable(Exception):
    def __str__(self):
        raise ValueError("and no words for it")


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3), MemoryError(), Unspeakable()])
def test_one_that_raises_takes_nothing_down(source, error):
    def decide(invocation, view):
        raise error

    with open_node(Policy(decide), source) as node:
        for _ in range(3):
            assert node.invoke("divide").result == {"quotient": 100}
        counts = node.policy_counts()
        assert counts["failed"] == 3 and counts["decided"] == 0


def test_one_that_loops_makes_one_call_wait_and_no_other(source):
    go_on = threading.Event()

    def decide(invocation, view):
        while not go_on.is_set():
            pass
        return serverledge.refuse("at last")

    with open_node(Policy(decide), source, **{"policy.timeout": 0.05}) as node:
        for _ in range(20):
            assert node.invoke("divide").result == {"quotient": 100}
        counts = node.policy_counts()
        assert counts["late"] == 20 and counts["decided"] == 0
        assert counts["waited"] < 20 * 0.05  # once, and not each time
        go_on.set()

        def refused():
            try:
                node.invoke("divide")
            except serverledge.Refused:
                return True
            return False

        eventually(refused)


def test_one_that_never_returns_does_not_keep_the_node_from_closing(source):
    node = open_node(Policy(lambda invocation, view: time.sleep(3600)), source, **{"policy.timeout": 0.02})
    assert node.invoke("divide").result == {"quotient": 100}
    node.close()
    with pytest.raises(serverledge.Cancelled):
        node.invoke("divide")


def test_one_that_calls_its_node_gets_an_error(source):
    said = []

    def decide(invocation, view):
        try:
            node.invoke("divide")
        except serverledge.Invalid as error:
            said.append(str(error))
            raise
        return serverledge.RUN

    with open_node(Policy(decide), source) as node:
        assert node.invoke("divide").result == {"quotient": 100}
        assert node.policy_counts()["failed"] == 1
    assert "must not call the node" in said[0]


def test_one_that_calls_its_node_over_http_is_too_late_and_no_more(source):
    answers = []

    def decide(invocation, view):
        answers.append(client.invoke("divide", {"divisor": 10}).result)
        return serverledge.refuse("too late")

    with open_node(Policy(decide), source, **{"policy.timeout": 0.02, "api.port": 0}) as node:
        host, port = node.listen().rsplit(":", 1)
        client = serverledge.Client(host, int(port))
        assert node.invoke("divide").result == {"quotient": 100}
        eventually(lambda: answers)
        assert answers == [{"quotient": 10}]


def test_two_nodes_have_a_policy_each(source):
    with open_node(Policy(lambda *_: serverledge.refuse("one")), source) as one:
        with open_node(Policy(lambda *_: serverledge.RUN), source) as other:
            assert other.invoke("divide").result == {"quotient": 100}
            with pytest.raises(serverledge.Refused, match="one"):
                one.invoke("divide")
    # A policy may ask another node.
    with open_node(Policy(lambda *_: serverledge.RUN), source) as other:
        def decide(invocation, view):
            return serverledge.refuse("asked") if other.invoke("divide").result else serverledge.RUN

        with open_node(Policy(decide), source, **{"policy.timeout": 30}) as one:
            with pytest.raises(serverledge.Refused, match="asked"):
                one.invoke("divide")


def test_a_policy_must_be_one():
    with pytest.raises(TypeError, match="OffloadingPolicy"):
        serverledge.Node(policy=lambda invocation, view: serverledge.RUN)
    assert repr(serverledge.RUN) == "RUN" and repr(serverledge.refuse("why")) == "refuse(why)"
