"""A node in this process."""

from __future__ import annotations

import atexit
import json
import os
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Union

from . import _native, requests
from .answers import Answer, read_answer
from .errors import TimedOut
from .functions import Functions, Later
from .policy import OffloadingPolicy, PolicyThread

Config = Union[Mapping[str, Any], str, "os.PathLike[str]", None]

_POLICY_END = 2.0  # seconds for a policy to come back when its node is closed
_open: weakref.WeakSet[Node] = weakref.WeakSet()


class Node(Functions):
    """A node in this process, with everything that a node has. May be used from many threads at once: whoever waits lets the
    others run. Close it, best by `with`."""

    def __init__(self, config: Config = None, *, policy: OffloadingPolicy | None = None) -> None:
        """`config`: keys of docs/configuration.md, or the path of a file with them. Where it says nothing, nothing is kept
        on disk (`store.path` is ":memory:") and `log.level` is "warning". The environment is not read."""
        is_file = config is not None and not isinstance(config, Mapping)
        settings = os.fspath(config) if is_file else requests.encode(dict(config or {}), "config")  # type: ignore
        thread = None if policy is None else PolicyThread(policy)
        self._native = _native.Node(settings, is_file, None if thread is None else thread.bridge)
        self._policy = thread
        self._laters: weakref.WeakValueDictionary[str, _PendingLater] = weakref.WeakValueDictionary()
        if thread is not None:
            thread.start()
            weakref.finalize(self, thread.bridge.end)  # for those that are never closed
        _open.add(self)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    def close(self, drain: float | None = None) -> None:
        """Refuses new calls, lets run what runs for `drain` seconds at most (default: `api.drain`), ends the rest, and returns
        when nothing is left of it. May be called again."""
        self._native.stop(self._native.drain if drain is None else drain)
        if self._policy is not None:
            self._policy.end(_POLICY_END)
        _open.discard(self)

    def listen(self) -> str:
        """Serves the HTTP interface too, on `api.listen` and `api.port`, and in a cluster joins it; its address."""
        return self._native.listen()

    @property
    def address(self) -> str:
        """Where it listens, "127.0.0.1:1323"; empty if it does not."""
        return self._native.address

    def policy_counts(self) -> dict[str, Any]:
        """What became of the questions to the policy: how often it was asked, has decided, was late, has failed; how many
        ended calls it was not told of (dropped); and for how many seconds calls have waited for it in all."""
        return {} if self._policy is None else self._policy.bridge.counts()

    def _store(self, path: str, body: str) -> None:
        self._native.store(body, path == "/update")

    def _invoke(self, name: str, params: Mapping[str, Any] | None, options: dict[str, Any]) -> Answer:
        return read_answer(self._native.invoke(name, requests.encode_params(params), _options(options)))

    def _invoke_async(self, name: str, params: Mapping[str, Any] | None, options: dict[str, Any]) -> Later:
        later = _PendingLater(self._native.submit(name, requests.encode_params(params), _options(options)))
        self._laters[later.id] = later
        return later

    def delete(self, name: str) -> None:
        self._native.remove(name)

    def functions(self) -> list[str]:
        return self._native.functions()

    def prewarm(self, name: str, count: int = 1) -> int:
        return self._native.prewarm(name, count)

    def status(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self._native.status())
        return said

    def poll(self, request_id: str) -> Answer | None:
        if (later := self._laters.get(request_id)) is not None:
            return later.result() if later.done() else None
        said = self._native.poll(request_id)
        return None if said is None else read_answer(said)


def _options(options: dict[str, Any]) -> _native.CallOptions:
    return _native.CallOptions(options["qos_class"], options["max_response_time"] or 0.0, options["offload"],
                               options["output"], options["traceparent"] or "")


class _PendingLater(Later):
    """A call that this process has submitted."""

    def __init__(self, call: _native.PendingCall) -> None:
        self._call = call

    @property
    def id(self) -> str:
        return self._call.id

    def done(self) -> bool:
        return self._call.done()

    def result(self, timeout: float | None = None) -> Answer:
        if not self._call.wait(float("inf") if timeout is None else timeout):
            raise TimedOut(f"{self.id} has not ended within {timeout} s")
        return read_answer(self._call.answer())

    def cancel(self) -> bool:
        return self._call.cancel()


def _close_all() -> None:
    """What the program has left open: its threads must not outlive the interpreter."""
    for node in list(_open):
        node.close(drain=0)


atexit.register(_close_all)
