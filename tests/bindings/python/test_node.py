"""A node in this process."""

import locale
import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest

import serverledge
from conftest import DEADLINE, create_divide, eventually

EXAMPLE = pathlib.Path(__file__).resolve().parents[3] / "bindings/python/examples/night_shift.py"


def test_threads_run_while_one_waits_and_close_ends_what_runs(node):
    ended = []

    def call():
        try:
            node.invoke("divide", {"seconds": 50})
        except serverledge.Error as error:
            ended.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    eventually(lambda: node.status()["AvailableMemory"] < 512)
    node.close(drain=0)
    caller.join(DEADLINE)
    assert not caller.is_alive() and len(ended) == 1


def test_a_closed_node_says_so(source):
    node = serverledge.Node()
    create_divide(node, source)
    later = node.invoke_async("divide")
    assert later.result(timeout=DEADLINE).result == {"quotient": 100}
    node.close()
    node.close()
    for call in (lambda: node.invoke("divide"), lambda: node.invoke_async("divide"), node.functions, node.status,
                 node.listen, lambda: node.delete("divide"), lambda: node.poll("x")):
        with pytest.raises(serverledge.Cancelled, match="closed"):
            call()
    assert later.result().result == {"quotient": 100} and not later.cancel()


def test_what_waits_and_what_runs_can_be_cancelled(source):
    with serverledge.Node({"container.pool.memory": 64}) as node:
        create_divide(node, source)
        running = node.invoke_async("divide", {"seconds": 1})
        eventually(lambda: node.status()["AvailableMemory"] == 0)
        waiting = node.invoke_async("divide")
        assert waiting.cancel() and not waiting.cancel()
        assert running.cancel()
        for later in (waiting, running):
            with pytest.raises(serverledge.Cancelled):
                later.result(timeout=DEADLINE)


def test_calls_for_later_wait_beyond_the_queue(source):
    with serverledge.Node({"container.pool.memory": 64, "submit.workers": 2}) as node:
        create_divide(node, source)
        laters = [node.invoke_async("divide", {"divisor": n + 1}) for n in range(300)]
        assert [later.result(timeout=DEADLINE).result["quotient"] for later in laters] == [
            100 // (n + 1) for n in range(300)]


def test_a_signal_interrupts_a_wait(node):
    class Alarm(Exception):
        pass

    def ring(number, frame):
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    try:
        later = node.invoke_async("divide", {"seconds": 50})
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Alarm):
            later.result(timeout=DEADLINE)
        assert later.cancel()
    finally:
        signal.signal(signal.SIGALRM, before)
        node.close(drain=0)


INTERRUPTED = """
import signal, sys, threading, time
import serverledge

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever was inherited

with serverledge.Node({"container.pool.memory": 128}) as node:
    node.create("divide", handler="divide.handler", source=sys.argv[1], memory=64)

    def tell():
        while node.status()["AvailableMemory"] == 128:
            time.sleep(0.01)
        print("running", flush=True)

    threading.Thread(target=tell).start()
    try:
        node.invoke("divide", {"seconds": 500})
    except KeyboardInterrupt:
        print("interrupted")
    print(node.invoke("divide", {"divisor": 10}).result["quotient"])
    node.close(drain=0)
print("closed")
"""


def test_ctrl_c_leaves_a_call_that_runs(source):
    with subprocess.Popen([sys.executable, "-B", "-c", INTERRUPTED, source], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout.readline() == "running\n"
            child.send_signal(signal.SIGINT)
            said, _ = child.communicate(timeout=DEADLINE)
        except BaseException:
            child.kill()
            raise
    assert (said, child.returncode) == ("interrupted\n10\nclosed\n", 0)


def test_a_handler_of_a_signal_may_call_the_node(node):
    answers = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: answers.append(node.invoke("divide").result))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        answers.append(node.invoke("divide", {"divisor": 2, "seconds": 2}).result)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert sorted(answer["quotient"] for answer in answers) == [50, 100]


def test_two_nodes_in_one_process_do_not_see_each_other(node, source):
    with serverledge.Node() as other:
        assert other.functions() == []
        create_divide(other, source)
        assert other.invoke("divide").node != node.invoke("divide").node
    assert node.invoke("divide").warm


def test_a_configuration_that_is_wrong_says_where():
    with pytest.raises(serverledge.Invalid, match="container.pool.memory"):
        serverledge.Node({"container.pool.memry": 1})
    with pytest.raises(serverledge.Invalid, match="container.pool.memory"):
        serverledge.Node({"container.pool.memory": "much"})
    with pytest.raises(serverledge.Invalid, match="scheduler.policy"):
        serverledge.Node({"scheduler": {"policy": "unheard-of"}})
    with pytest.raises(serverledge.NotFound, match="nowhere"):
        serverledge.Node("/nowhere/serverledge.yaml")
    with pytest.raises(serverledge.Invalid, match="config"):
        serverledge.Node({"api.port": object()})


def test_a_configuration_file_is_read(tmp_path):
    file = tmp_path / "node.yaml"
    file.write_text("container:\n  pool:\n    memory: 777\n")
    for path in (file, str(file)):
        with serverledge.Node(path) as node:
            assert node.status()["TotalMemory"] == 777


def test_nothing_of_the_process_is_touched(source):
    def state():
        umask = os.umask(0o77)
        os.umask(umask)
        signals = [signal.getsignal(number) for number in signal.valid_signals()]
        return signals, umask, os.getcwd(), dict(os.environ), locale.setlocale(locale.LC_ALL)

    before = state()
    descriptors = len(os.listdir("/proc/self/fd"))
    with serverledge.Node() as node:
        create_divide(node, source)
        node.invoke("divide")
        assert state() == before
    assert state() == before
    eventually(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
    eventually(lambda: threading.active_count() == 1 and len(os.listdir("/proc/self/task")) == 1)


def test_a_fork_is_told_that_it_has_no_node(node):
    child = os.fork()
    if child == 0:
        try:
            node.invoke("divide")
        except serverledge.Unavailable:
            os._exit(42)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    assert node.invoke("divide").result == {"quotient": 100}


@pytest.mark.parametrize("policy", ["None", "Policy()"])
def test_a_program_that_closes_nothing_ends_all_the_same(policy):
    program = f"""
import serverledge
class Policy(serverledge.OffloadingPolicy):
    def on_arrival(self, invocation, view):
        while True: pass
node = serverledge.Node(policy={policy})
node.create("f", handler="f.handler", source=b"def handler(params, context): return 7")
print(node.invoke("f").result, flush=True)
node.invoke_async("f")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE)
    assert (run.returncode, run.stdout) == (0, "7\n"), run.stderr


def test_the_example_runs():
    run = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == 0, run.stderr
    assert "hello from a function" in run.stdout and "ZeroDivisionError" in run.stdout
