"""A node over HTTP, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote

from . import requests
from .answers import Answer
from .errors import TimedOut, Unavailable, UnknownOutcome
from .requests import Parameters, Source

_CONNECT_TIMEOUT = 10.0
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.25
_LONGEST_HEAD = 64 * 1024


class Client:
    """The methods of `serverledge.Client` as coroutines. Belongs to one event loop; any number of calls may be under way at a
    time, each on a connection of its own, which is then used again."""

    def __init__(self, host: str = "127.0.0.1", port: int = 1323, *, timeout: float = 600) -> None:
        """`timeout`: seconds that an answer may take."""
        self._host = host
        self._port = port
        self._timeout = timeout
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
        requests.read_json(*await self._request("POST", "/create", body))

    async def update(self, name: str, *, runtime: str = "python310", handler: str | None = None,
                     source: Source | None = None, memory: int = 128, cpu: float = 0.0, concurrency: int = 1,
                     timeout: float | None = None, image: str | None = None, inputs: Parameters | None = None,
                     outputs: Parameters | None = None) -> None:
        """See `serverledge.Functions.update`."""
        body = requests.create_body(name, runtime=runtime, handler=handler, source=source, memory=memory, cpu=cpu,
                                    concurrency=concurrency, timeout=timeout, image=image, inputs=inputs, outputs=outputs)
        requests.read_json(*await self._request("POST", "/update", body))

    async def invoke(self, name: str, params: Mapping[str, Any] | None = None, *, qos_class: int = 0,
                     max_response_time: float | None = None, offload: bool = True, output: bool = False,
                     traceparent: str | None = None) -> Answer:
        """See `serverledge.Functions.invoke`. Cancelling it hangs up: a call that waits leaves the node's queue."""
        body = requests.invoke_body(params, qos_class=qos_class, max_response_time=max_response_time, offload=offload,
                                    output=output, later=False)
        return requests.read_call(*await self._request("POST", f"/invoke/{quote(name, safe='')}", body, traceparent))

    async def invoke_async(self, name: str, params: Mapping[str, Any] | None = None, *, qos_class: int = 0,
                           max_response_time: float | None = None, offload: bool = True, output: bool = False,
                           traceparent: str | None = None) -> Later:
        """See `serverledge.Functions.invoke_async`."""
        body = requests.invoke_body(params, qos_class=qos_class, max_response_time=max_response_time, offload=offload,
                                    output=output, later=True)
        said = requests.read_json(*await self._request("POST", f"/invoke/{quote(name, safe='')}", body, traceparent))
        return Later(self, said["ReqId"])

    async def delete(self, name: str) -> None:
        """Removes a function. Raises NotFound."""
        requests.read_json(*await self._request("POST", "/delete", requests.encode({"Name": name}, "name")))

    async def functions(self) -> list[str]:
        """The names of all functions."""
        names: list[str] = requests.read_json(*await self._request("GET", "/function"))
        return names

    async def prewarm(self, name: str, count: int = 1) -> int:
        """Starts up to `count` containers beforehand; how many were started."""
        body = requests.encode({"Function": name, "Instances": count}, "prewarm")
        return int(requests.read_json(*await self._request("POST", "/prewarm", body))["Prewarmed"])

    async def status(self) -> dict[str, Any]:
        """The object of /status."""
        said: dict[str, Any] = requests.read_json(*await self._request("GET", "/status"))
        return said

    async def poll(self, request_id: str) -> Answer | None:
        """See `serverledge.Functions.poll`."""
        return requests.read_poll(*await self._request("GET", f"/poll/{quote(request_id, safe='')}"))

    async def _request(self, method: str, path: str, body: str | None = None,
                       traceparent: str | None = None) -> tuple[int, bytes]:
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
        if traceparent is not None:
            head += f"traceparent: {requests.header_value(traceparent)}\r\n"
        content = b"" if body is None else body.encode()
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        connection = await self._take()
        try:
            answer = await asyncio.wait_for(connection.exchange(head.encode() + b"\r\n" + content), self._timeout)
        except asyncio.TimeoutError as error:
            connection.close()
            raise TimedOut(f"no answer of {self._host}:{self._port} within {self._timeout} s") from error
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            connection.close()
            raise UnknownOutcome(f"the connection to {self._host}:{self._port} broke: {error!r}") from error
        except BaseException:
            connection.close()
            raise
        if connection.usable:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    async def _take(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.ended:
                return connection
            connection.close()
        try:
            return _Connection(*await asyncio.wait_for(
                asyncio.open_connection(self._host, self._port, limit=_LONGEST_HEAD), _CONNECT_TIMEOUT))
        except (OSError, asyncio.TimeoutError) as error:
            raise Unavailable(f"cannot reach {self._host}:{self._port}: {error}") from error


class Later:
    """The answer of an asynchronous call."""

    def __init__(self, client: Client, request_id: str) -> None:
        self._client = client
        self.id = request_id

    async def result(self, timeout: float | None = None) -> Answer:
        """See `serverledge.Later.result`."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        pause = _FIRST_PAUSE
        while (answer := await self._client.poll(self.id)) is None:
            rest = pause if deadline is None else deadline - loop.time()
            if rest <= 0:
                raise TimedOut(f"{self.id} has not ended within {timeout} s")
            await asyncio.sleep(min(pause, rest))
            pause = min(2 * pause, _LONGEST_PAUSE)
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
