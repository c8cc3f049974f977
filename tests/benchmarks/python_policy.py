#!/usr/bin/python3
"""What a policy written in Python costs a call, beside its floor: the same method called in a Python loop."""

import argparse
import concurrent.futures
import pathlib
import statistics
import sys
import threading
import time

from bench_support import NOOP_PYTHON, ROOT, Series, fail, ratios, verdict

TARGET = 10


def load(build):
    package = build / "python"
    if not (package / "serverledge" / "__init__.py").exists():
        fail(f"{package} holds no module: build it with cmake --build --preset release --target serverledge_python")
    sys.path.insert(0, str(package))
    import serverledge
    return serverledge


def make_policy(serverledge):
    class Estimating(serverledge.OffloadingPolicy):
        """Compares what a call is expected to take here with what it may take, and chooses between running and waiting:
        of the weight that a policy has which looks at pool and estimates."""

        def on_arrival(self, invocation, view):
            self.seen = (invocation, view)
            pool, estimate = view.pool, view.function
            expected = estimate.duration
            if pool.warm == 0:
                expected += estimate.init_time * estimate.cold_probability
            if pool.queued > 0:
                expected += pool.queued * estimate.duration / max(1.0, pool.total_cores - pool.busy_cores)
            free = pool.total_memory - pool.busy_memory
            urgent = 0 < invocation.max_response_time < expected
            choices = []
            if invocation.can_offload and (urgent or free < invocation.memory):
                peers = [peer for peer in view.neighbours if peer.known and not peer.avoided]
                peers.sort(key=lambda peer: (peer.warm(invocation.function) == 0, peer.round_trip))
                choices += [serverledge.offload(peer) for peer in peers[:2]]
            if view.runnable_here:
                choices += [serverledge.RUN, serverledge.WAIT]
            return choices

    return Estimating()


def loop_cost(policy, count):
    """Microseconds of one call of the method, with what it was last called with."""
    on_arrival, (invocation, view) = policy.on_arrival, policy.seen
    begin = time.perf_counter()
    for _ in range(count):
        on_arrival(invocation, view)
    return (time.perf_counter() - begin) / count * 1e6


def call_times(node, count):
    """Microseconds of warm calls."""
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        answer = node.invoke("noop")
        times.append((time.perf_counter() - begin) * 1e6)
        if not answer.warm:
            fail("a call that should be warm was cold")
    return times


def mean_wait(node, count):
    """Microseconds that a call waits for its decision, in the mean; and how many were late."""
    before = node.policy_counts()
    call_times(node, count)
    after = node.policy_counts()
    asked = after["asked"] - before["asked"]
    return (after["waited"] - before["waited"]) / asked * 1e6, after["late"] - before["late"]


def with_busy_python(node, count):
    """`mean_wait` while another thread of the process computes."""
    stop = threading.Event()

    def compute():
        value = 0
        while not stop.is_set():
            value = (value * 31 + 7) % 1000003

    other = threading.Thread(target=compute)
    other.start()
    try:
        return mean_wait(node, count)
    finally:
        stop.set()
        other.join()


def open_node(serverledge, policy):
    """One with a warm function."""
    node = serverledge.Node({"container.pool.memory": 512}, policy=policy)
    node.create("noop", handler="noop.handler", source=NOOP_PYTHON.encode())
    for _ in range(50):
        node.invoke("noop")
    return node


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--calls", type=int, default=500)
    arguments = parser.parse_args()
    serverledge = load(arguments.build)
    policy = make_policy(serverledge)
    floors, costs, with_policy, without, busy, late = [], [], [], [], [], 0
    for _ in range(arguments.repeats):
        # New nodes each time: on which core a function's process has come to lie is half of what a call takes.
        with open_node(serverledge, policy) as asking, open_node(serverledge, None) as plain:
            floors.append(loop_cost(policy, 2000))
            # In turns, call by call, so that what slows the machine slows both.
            asked, unasked = [], []
            for _ in range(arguments.calls // 20):
                asked += call_times(asking, 20)
                unasked += call_times(plain, 20)
            with_policy.append(statistics.median(asked))
            without.append(statistics.median(unasked))
            costs.append(with_policy[-1] - without[-1])
            waited, missed = with_busy_python(asking, max(20, arguments.calls // 20))
            busy.append(waited)
            late += missed
    ratio = ratios(costs, floors)
    print("microseconds, median (least-most)")
    print(f"  the method in a Python loop               {Series(floors):8.1f}")
    print(f"  a warm call                               {Series(without):8.1f}")
    print(f"  a warm call with this policy              {Series(with_policy):8.1f}")
    print(f"  what the policy costs                     {Series(costs):8.1f}   {ratio:.1f} x the loop, {verdict(ratio, TARGET, True)}")
    print(f"  a decision while another thread computes  {Series(busy):8.1f}   {late} too late")


if __name__ == "__main__":
    # Not on the main thread, whose calls another thread makes (docs/python.md).
    with concurrent.futures.ThreadPoolExecutor(1) as measuring:
        measuring.submit(main).result()
