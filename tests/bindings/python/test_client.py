"""A node over HTTP: what only that has, and asyncio."""

import asyncio
import select
import socket
import threading

import pytest

import serverledge
from conftest import DEADLINE, eventually


@pytest.fixture
def address(node):
    host, port = node.listen().rsplit(":", 1)
    return host, int(port)


def test_a_node_that_is_not_there_is_unavailable():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(serverledge.Unavailable, match=str(port)):
        serverledge.Client("127.0.0.1", port).functions()

    async def ask():
        await serverledge.aio.Client("127.0.0.1", port).functions()

    with pytest.raises(serverledge.Unavailable, match=str(port)):
        asyncio.run(ask())


class Impostor:
    """Takes connections, reads one request from each, and answers with those bytes."""

    def __init__(self, answer):
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(self._answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12", b"garbage\r\n\r\n",
                                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"])
def test_a_connection_that_breaks_leaves_the_outcome_unknown(answer):
    with Impostor(answer) as impostor:
        with pytest.raises(serverledge.UnknownOutcome):
            serverledge.Client("127.0.0.1", impostor.port).invoke("f")

        async def call():
            await serverledge.aio.Client("127.0.0.1", impostor.port).invoke("f")

        with pytest.raises(serverledge.UnknownOutcome):
            asyncio.run(call())


def test_what_is_no_answer_of_a_node_is_an_error():
    for body in (b"<html>", b"[]", b'{"Hello":1}'):
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        with Impostor(answer) as impostor, pytest.raises(serverledge.Error):
            serverledge.Client("127.0.0.1", impostor.port).invoke("f")


def test_chunked_answers_are_read():
    body = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n["a",\r\n4;x=y\r\n"b"]\r\n0\r\nA: b\r\n\r\n'
    with Impostor(body) as impostor:
        assert serverledge.Client("127.0.0.1", impostor.port).functions() == ["a", "b"]

        async def ask():
            return await serverledge.aio.Client("127.0.0.1", impostor.port).functions()

        assert asyncio.run(ask()) == ["a", "b"]


def test_a_connection_that_was_closed_meanwhile_is_not_used_again():
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[\"a\"]"
    with Impostor(body) as impostor:
        client = serverledge.Client("127.0.0.1", impostor.port)
        for _ in range(3):
            assert client.functions() == ["a"]
            eventually(lambda: select.select([client._idle[0].sock], [], [], 0)[0])  # until it sees the end


def test_a_traceparent_must_fit_a_header(address):
    with pytest.raises(serverledge.Invalid, match="traceparent"):
        serverledge.Client(*address).invoke("divide", traceparent="00\r\nX: y")


def test_a_call_goes_on_when_its_client_gives_up_waiting(address):
    with pytest.raises(serverledge.TimedOut):
        serverledge.Client(*address, timeout=0.2).invoke("divide", {"seconds": 2})


def test_asyncio_runs_many_calls_at_a_time(node, address, source):
    async def calls():
        async with serverledge.aio.Client(*address) as client:
            await client.create("again", handler="divide.handler", source=source, memory=64)
            assert await client.functions() == ["again", "divide"]
            answers = await asyncio.gather(*(client.invoke("again", {"divisor": n % 5 + 1}) for n in range(50)))
            assert [answer.result["quotient"] for answer in answers] == [100 // (n % 5 + 1) for n in range(50)]
            with pytest.raises(serverledge.FunctionError, match="ZeroDivisionError"):
                await client.invoke("again", {"divisor": 0})
            with pytest.raises(serverledge.NotFound):
                await client.invoke("nothing")
            later = await client.invoke_async("again", {"divisor": 2})
            assert (await later.result(timeout=DEADLINE)).result == {"quotient": 50}
            assert (await client.poll(later.id)).result == {"quotient": 50}
            slow = await client.invoke_async("again", {"seconds": 1})
            with pytest.raises(serverledge.TimedOut):
                await slow.result(timeout=0.01)
            await client.update("again", handler="divide.handler", source=source, memory=128)
            async with asyncio.timeout(DEADLINE):
                while await client.prewarm("again") == 0:  # until the memory of the old containers is free
                    await asyncio.sleep(0.01)
            assert (await client.status())["AvailableWarmContainers"]["again"] == 1
            await client.delete("again")

    asyncio.run(calls())


def test_asyncio_call_that_is_cancelled_leaves_the_client_usable(node, address):
    async def calls():
        client = serverledge.aio.Client(*address)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.invoke("divide", {"seconds": 2}), 0.2)
        assert (await client.invoke("divide")).result == {"quotient": 100}
        await client.close()

    asyncio.run(calls())
