"""A policy in Python hands calls to another node, over a real etcd."""

import contextlib
import pathlib
import shutil
import sys

import pytest

import serverledge
from conftest import create_divide, eventually

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from support import live_node as live  # noqa: E402


@pytest.fixture
def etcd(tmp_path):
    """The address of an etcd that answers."""
    client, peer = live.free_port(), live.free_port()
    address, other = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    program = shutil.which("etcd") or pytest.skip("etcd is not installed")
    command = [program, "--name", "alone", "--data-dir", tmp_path / "etcd", "--listen-client-urls", address,
               "--advertise-client-urls", address, "--listen-peer-urls", other, "--initial-advertise-peer-urls", other,
               "--initial-cluster", f"alone={other}"]
    with live.program(command, tmp_path / "etcd.log"):
        def answers():
            with contextlib.suppress(OSError):
                return live.request(client, "GET", "/health")[0] == 200
        live.eventually(answers, "etcd answers")
        yield f"127.0.0.1:{client}"


def test_it_offloads_to_the_neighbour_that_it_chooses(etcd, source):
    class Away(serverledge.OffloadingPolicy):
        def __init__(self):
            self.chosen = None

        def on_arrival(self, invocation, view):
            known = [peer for peer in view.neighbours if peer.known and not peer.avoided]
            if known:
                self.chosen = known[0]
            return [serverledge.offload(peer) for peer in known[:2]] + [serverledge.RUN, serverledge.WAIT]

    def config(name):
        return {"etcd.address": etcd, "api.ip": "127.0.0.1", "api.listen": "127.0.0.1", "api.port": 0,
                "registry.node.id": name, "registry.udp.port": 0, "registry.nearby.interval": 0.2, "policy.timeout": 5,
                "container.pool.memory": 512}

    policy = Away()
    with serverledge.Node(config("one"), policy=policy) as one, serverledge.Node(config("two")) as two:
        one.listen()
        two.listen()
        create_divide(one, source)
        eventually(lambda: two.functions() == ["divide"])

        def offloaded():
            answer = one.invoke("divide", {"divisor": 2})
            assert answer.result == {"quotient": 50}
            return answer if answer.node == "two" else None

        assert eventually(offloaded).offload_latency > 0
        assert one.invoke("divide", offload=False).node == "two"  # it is the policy that asks, and this one does not
        peer = policy.chosen
        assert (peer.key, peer.area, peer.host) == ("two", "ROME", "127.0.0.1")
        assert f"127.0.0.1:{peer.port}" == two.address
        assert peer.available_memory <= 512 and peer.available_cores > 0 and peer.round_trip >= 0
        assert peer.warm("nothing") == 0 and not peer.refuses("nothing") and peer.architecture in ("amd64", "arm64")
        assert repr(serverledge.offload(peer)) == "offload(two)"
