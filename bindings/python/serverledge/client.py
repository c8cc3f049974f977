"""A node over HTTP."""

from __future__ import annotations

import http.client
import select
import socket
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeVar

from . import requests
from .answers import Answer
from .errors import TimedOut, Unavailable, UnknownOutcome
from .functions import Functions, Later

_T = TypeVar("_T")


class Client(Functions):
    """A node that is reached over HTTP. May be used from many threads at once; connections are kept and used again."""

    def __init__(self, host: str = "127.0.0.1", port: int = 1323, *, timeout: float = 600) -> None:
        """`timeout`: seconds that an answer may take."""
        self._address = requests.Address(host, port, timeout)
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
        self._send(requests.store(path, body))

    def _invoke(self, name: str, params: Mapping[str, Any] | None, options: dict[str, Any]) -> Answer:
        return self._send(requests.invoke(name, params, **options))

    def _invoke_async(self, name: str, params: Mapping[str, Any] | None, options: dict[str, Any]) -> Later:
        return _PolledLater(self, self._send(requests.invoke_async(name, params, **options)))

    def delete(self, name: str) -> None:
        self._send(requests.delete(name))

    def functions(self) -> list[str]:
        return self._send(requests.functions())

    def prewarm(self, name: str, count: int = 1) -> int:
        return self._send(requests.prewarm(name, count))

    def status(self) -> dict[str, Any]:
        return self._send(requests.status())

    def poll(self, request_id: str) -> Answer | None:
        return self._send(requests.poll(request_id))

    # Connections.

    def _send(self, request: requests.Request[_T]) -> _T:
        headers = request.headers()
        connection = self._take()
        try:
            connection.request(request.method, request.path, request.body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except TimeoutError as error:
            connection.close()
            raise self._address.silent() from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._address.broken(error) from error
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        return request.read(answer.status, content)

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
        connection = http.client.HTTPConnection(self._address.host, self._address.port, timeout=requests.CONNECT_TIMEOUT)
        try:
            connection.connect()
        except OSError as error:
            raise self._address.unreachable(error) from error
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sock.settimeout(self._address.timeout)
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
        pauses = requests.pauses(self._id, timeout)
        while not self.done():
            time.sleep(next(pauses))
        if isinstance(self._ended, Exception):
            raise self._ended
        assert self._ended is not None
        return self._ended

    def cancel(self) -> bool:
        return False
