"""A node over HTTP."""

from __future__ import annotations

import http.client
import select
import socket
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote

from . import requests
from .answers import Answer
from .errors import TimedOut, Unavailable, UnknownOutcome
from .functions import Functions, Later

_CONNECT_TIMEOUT = 10.0
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.25


class Client(Functions):
    """A node that is reached over HTTP. May be used from many threads at once; connections are kept and used again."""

    def __init__(self, host: str = "127.0.0.1", port: int = 1323, *, timeout: float = 600) -> None:
        """`timeout`: seconds that an answer may take."""
        self._host = host
        self._port = port
        self._timeout = timeout
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections that are idle. The client can be used again."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    # What `Functions` builds on.

    def _store(self, path: str, body: str) -> None:
        requests.read_json(*self._request("POST", path, body))

    def _invoke(self, name: str, params: Mapping[str, Any] | None, options: dict[str, Any]) -> Answer:
        traceparent = options.pop("traceparent")
        body = requests.invoke_body(params, later=False, **options)
        return requests.read_call(*self._request("POST", f"/invoke/{quote(name, safe='')}", body, traceparent))

    def _invoke_async(self, name: str, params: Mapping[str, Any] | None, options: dict[str, Any]) -> Later:
        traceparent = options.pop("traceparent")
        body = requests.invoke_body(params, later=True, **options)
        said = requests.read_json(*self._request("POST", f"/invoke/{quote(name, safe='')}", body, traceparent))
        return _PolledLater(self, said["ReqId"])

    def delete(self, name: str) -> None:
        requests.read_json(*self._request("POST", "/delete", requests.encode({"Name": name}, "name")))

    def functions(self) -> list[str]:
        names: list[str] = requests.read_json(*self._request("GET", "/function"))
        return names

    def prewarm(self, name: str, count: int = 1) -> int:
        body = requests.encode({"Function": name, "Instances": count}, "prewarm")
        return int(requests.read_json(*self._request("POST", "/prewarm", body))["Prewarmed"])

    def status(self) -> dict[str, Any]:
        said: dict[str, Any] = requests.read_json(*self._request("GET", "/status"))
        return said

    def poll(self, request_id: str) -> Answer | None:
        return requests.read_poll(*self._request("GET", f"/poll/{quote(request_id, safe='')}"))

    # Connections.

    def _request(self, method: str, path: str, body: str | None = None,
                 traceparent: str | None = None) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if traceparent is not None:
            headers["traceparent"] = requests.header_value(traceparent)
        connection = self._take()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except TimeoutError as error:
            connection.close()
            raise TimedOut(f"no answer of {self._host}:{self._port} within {self._timeout} s") from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise UnknownOutcome(f"the connection to {self._host}:{self._port} broke: {error!r}") from error
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        return answer.status, content

    def _take(self) -> http.client.HTTPConnection:
        """An idle connection that the node has not closed meanwhile, else a new one."""
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection = self._idle.pop()
            if connection.sock is not None and not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_CONNECT_TIMEOUT)
        try:
            connection.connect()
        except OSError as error:
            raise Unavailable(f"cannot reach {self._host}:{self._port}: {error}") from error
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sock.settimeout(self._timeout)
        return connection


class _PolledLater(Later):
    """An asynchronous call of another process: asked about, more and more seldom, until it has ended."""

    def __init__(self, client: Client, request_id: str) -> None:
        self._client = client
        self._id = request_id
        self._ended: Answer | Exception | None = None

    @property
    def id(self) -> str:
        return self._id

    def done(self) -> bool:
        if self._ended is None:
            try:
                self._ended = self._client.poll(self._id)
            except (Unavailable, UnknownOutcome, TimedOut):
                raise  # of the question, not of the call
            except Exception as error:
                self._ended = error
        return self._ended is not None

    def result(self, timeout: float | None = None) -> Answer:
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while not self.done():
            rest = pause if deadline is None else deadline - time.monotonic()
            if rest <= 0:
                raise TimedOut(f"{self._id} has not ended within {timeout} s")
            time.sleep(min(pause, rest))
            pause = min(2 * pause, _LONGEST_PAUSE)
        if isinstance(self._ended, Exception):
            raise self._ended
        assert self._ended is not None
        return self._ended

    def cancel(self) -> bool:
        return False
