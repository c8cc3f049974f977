"""A node over HTTP, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeVar

from . import requests
from .answers import Answer
from .requests import Parameters, Source

_LONGEST_HEAD = 64 * 1024
_T = TypeVar("_T")


class Client:
    """The methods of `serverledge.Client` as coroutines. Belongs to one event loop; any number of calls may be under way at a
    time, each on a connection of its own, which is then used again."""

    def __init__(self, host: str = "127.0.0.1", port: int = 1323, *, timeout: float = 600) -> None:
        """`timeout`: seconds that an answer may take."""
        self._address = requests.Address(host, port, timeout)
        self._idle: list[_Connection] = []

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        traceback: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections that are idle. The client can be used again."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    async def create(self, name: str, *, runtime: str = "python310", handler: str | None = None,
                     source: Source | None = None, memory: int = 128, cpu: float = 0.0, concurrency: int = 1,
                     timeout: float | None = None, image: str | None = None, inputs: Parameters | None = None,
                     outputs: Parameters | None = None) -> None:
        """See `serverledge.Functions.create`."""
        body = requests.create_body(name, runtime=runtime, handler=handler, source=source, memory=memory, cpu=cpu,
                                    concurrency=concurrency, timeout=timeout, image=image, inputs=inputs, outputs=outputs)
        await self._send(requests.store("/create", body))

    async def update(self, name: str, *, runtime: str = "python310", handler: str | None = None,
                     source: Source | None = None, memory: int = 128, cpu: float = 0.0, concurrency: int = 1,
                     timeout: float | None = None, image: str | None = None, inputs: Parameters | None = None,
                     outputs: Parameters | None = None) -> None:
        """See `serverledge.Functions.update`."""
        body = requests.create_body(name, runtime=runtime, handler=handler, source=source, memory=memory, cpu=cpu,
                                    concurrency=concurrency, timeout=timeout, image=image, inputs=inputs, outputs=outputs)
        await self._send(requests.store("/update", body))

    async def invoke(self, name: str, params: Mapping[str, Any] | None = None, *, qos_class: int = 0,
                     max_response_time: float | None = None, offload: bool = True, output: bool = False,
                     traceparent: str | None = None) -> Answer:
        """See `serverledge.Functions.invoke`. Cancelling it hangs up: a call that waits leaves the node's queue."""
        return await self._send(requests.invoke(
            name, params, qos_class=qos_class, max_response_time=max_response_time, offload=offload, output=output,
            traceparent=traceparent))

    async def invoke_async(self, name: str, params: Mapping[str, Any] | None = None, *, qos_class: int = 0,
                           max_response_time: float | None = None, offload: bool = True, output: bool = False,
                           traceparent: str | None = None) -> Later:
        """See `serverledge.Functions.invoke_async`."""
        return Later(self, await self._send(requests.invoke_async(
            name, params, qos_class=qos_class, max_response_time=max_response_time, offload=offload, output=output,
            traceparent=traceparent)))

    async def delete(self, name: str) -> None:
        """Removes a function. Raises NotFound."""
        await self._send(requests.delete(name))

    async def functions(self) -> list[str]:
        """The names of all functions."""
        return await self._send(requests.functions())

    async def prewarm(self, name: str, count: int = 1) -> int:
        """Starts up to `count` containers beforehand; how many were started."""
        return await self._send(requests.prewarm(name, count))

    async def status(self) -> dict[str, Any]:
        """The object of /status."""
        return await self._send(requests.status())

    async def poll(self, request_id: str) -> Answer | None:
        """See `serverledge.Functions.poll`."""
        return await self._send(requests.poll(request_id))

    async def _send(self, request: requests.Request[_T]) -> _T:
        headers = {"Host": str(self._address), **request.headers()}
        content = b""
        if request.body is not None:
            content = request.body.encode()
            headers["Content-Length"] = str(len(content))
        head = f"{request.method} {request.path} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection = await self._take()
        try:
            answer = await asyncio.wait_for(connection.exchange(head.encode() + b"\r\n" + content), self._address.timeout)
        except asyncio.TimeoutError as error:
            connection.close()
            raise self._address.silent() from error
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            connection.close()
            raise self._address.broken(error) from error
        except BaseException:
            connection.close()
            raise
        if connection.usable:
            self._idle.append(connection)
        else:
            connection.close()
        return request.read(*answer)

    async def _take(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.ended:
                return connection
            connection.close()
        try:
            return _Connection(*await asyncio.wait_for(
                asyncio.open_connection(self._address.host, self._address.port, limit=_LONGEST_HEAD),
                requests.CONNECT_TIMEOUT))
        except (OSError, asyncio.TimeoutError) as error:
            raise self._address.unreachable(error) from error


class Later:
    """The answer of an asynchronous call."""

    def __init__(self, client: Client, request_id: str) -> None:
        self._client = client
        self.id = request_id

    async def result(self, timeout: float | None = None) -> Answer:
        """See `serverledge.Later.result`."""
        pauses = requests.pauses(self.id, timeout)
        while (answer := await self._client.poll(self.id)) is None:
            await asyncio.sleep(next(pauses))
        return answer


class _Connection:
    """One request after the other over HTTP/1.1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.usable = True

    @property
    def ended(self) -> bool:
        return self._reader.at_eof() or self._writer.is_closing()

    def close(self) -> None:
        self._writer.close()

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        self._writer.write(request)
        await self._writer.drain()
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        version, status, *_ = lines[0].split(" ", 2)
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        self.usable = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return int(status), await self._read_chunks()
        if "content-length" in headers:
            return int(status), await self._reader.readexactly(int(headers["content-length"]))
        self.usable = False
        return int(status), await self._reader.read()

    async def _read_chunks(self) -> bytes:
        content = bytearray()
        while True:
            size = int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16)
            if size == 0:
                while await self._reader.readuntil(b"\r\n") != b"\r\n":
                    pass
                return bytes(content)
            content += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
