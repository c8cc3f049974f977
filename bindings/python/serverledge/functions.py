"""What can be done with a node, be it in this process or another."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

from .answers import Answer
from .requests import Parameters, Source, create_body


class Later(abc.ABC):
    """The answer of a call that goes on by itself."""

    @property
    @abc.abstractmethod
    def id(self) -> str:
        """The request id."""

    @abc.abstractmethod
    def done(self) -> bool:
        """Whether it has ended."""

    @abc.abstractmethod
    def result(self, timeout: float | None = None) -> Answer:
        """The answer, waiting for it for `timeout` seconds at most (None: without end). Raises what `invoke` would have
        raised, or TimedOut: then it goes on, and may be asked again."""

    @abc.abstractmethod
    def cancel(self) -> bool:
        """Ends it with Cancelled, unless it has ended: whether it did. One that waits is never run; one that runs goes
        on, and its answer is dropped. Over HTTP nothing can be cancelled: False."""


class Functions(abc.ABC):
    """What `Node` and `Client` have in common."""

    def create(self, name: str, *, runtime: str = "python310", handler: str | None = None,
               source: Source | None = None, memory: int = 128, cpu: float = 0.0, concurrency: int = 1,
               timeout: float | None = None, image: str | None = None, inputs: Parameters | None = None,
               outputs: Parameters | None = None) -> None:
        """Stores a new function. `source`: a file, a folder, a .tar or .tar.gz, a URL of one of these two, or the bytes of
        an archive or file. `memory`: MB of a container. `cpu`: cores of one, 0: no limit. `concurrency`: calls at a time in
        one. `timeout`: seconds that a call may take. `image`: of the runtime "custom". `inputs` and `outputs`: pairs of
        name and type. Raises Exists, Invalid, NotFound (the runtime)."""
        self._store("/create", create_body(
            name, runtime=runtime, handler=handler, source=source, memory=memory, cpu=cpu, concurrency=concurrency,
            timeout=timeout, image=image, inputs=inputs, outputs=outputs))

    def update(self, name: str, *, runtime: str = "python310", handler: str | None = None,
               source: Source | None = None, memory: int = 128, cpu: float = 0.0, concurrency: int = 1,
               timeout: float | None = None, image: str | None = None, inputs: Parameters | None = None,
               outputs: Parameters | None = None) -> None:
        """Stores a function whether or not there is one of that name; see `create`."""
        self._store("/update", create_body(
            name, runtime=runtime, handler=handler, source=source, memory=memory, cpu=cpu, concurrency=concurrency,
            timeout=timeout, image=image, inputs=inputs, outputs=outputs))

    def invoke(self, name: str, params: Mapping[str, Any] | None = None, *, qos_class: int = 0,
               max_response_time: float | None = None, offload: bool = True, output: bool = False,
               traceparent: str | None = None) -> Answer:
        """Calls a function and waits for its answer. `max_response_time`: seconds within which it must have started.
        `offload`: another node may run it. `output`: return what it prints. `traceparent`: W3C trace context. Raises
        FunctionError, NotFound, Refused, Cancelled, UnknownOutcome, Unavailable."""
        return self._invoke(name, params, {
            "qos_class": qos_class, "max_response_time": max_response_time, "offload": offload, "output": output,
            "traceparent": traceparent})

    def invoke_async(self, name: str, params: Mapping[str, Any] | None = None, *, qos_class: int = 0,
                     max_response_time: float | None = None, offload: bool = True, output: bool = False,
                     traceparent: str | None = None) -> Later:
        """Calls a function for later, after those that somebody waits for; see `invoke`."""
        return self._invoke_async(name, params, {
            "qos_class": qos_class, "max_response_time": max_response_time, "offload": offload, "output": output,
            "traceparent": traceparent})

    @abc.abstractmethod
    def delete(self, name: str) -> None:
        """Removes a function. Raises NotFound."""

    @abc.abstractmethod
    def functions(self) -> list[str]:
        """The names of all functions."""

    @abc.abstractmethod
    def prewarm(self, name: str, count: int = 1) -> int:
        """Starts up to `count` containers beforehand; how many were started."""

    @abc.abstractmethod
    def status(self) -> dict[str, Any]:
        """Resources and warm containers: the object of /status."""

    @abc.abstractmethod
    def poll(self, request_id: str) -> Answer | None:
        """The answer of an asynchronous call, or None as long as there is none. Raises what `invoke` would have raised, or
        NotFound."""

    @abc.abstractmethod
    def _store(self, path: str, body: str) -> None: ...

    @abc.abstractmethod
    def _invoke(self, name: str, params: Mapping[str, Any] | None, options: dict[str, Any]) -> Answer: ...

    @abc.abstractmethod
    def _invoke_async(self, name: str, params: Mapping[str, Any] | None, options: dict[str, Any]) -> Later: ...
