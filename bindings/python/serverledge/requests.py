"""Requests to a node and the meaning of its answers: the contract of docs/api.md, whoever carries it."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import pathlib
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, Union
from urllib.parse import quote

from .answers import Answer, read_answer
from .errors import Error, Invalid, NotFound, TimedOut, Unavailable, UnknownOutcome, by_status

Source = Union[str, "os.PathLike[str]", bytes]
Parameters = Sequence[tuple[str, str]]

CONNECT_TIMEOUT = 10.0

_ARCHIVES = (".tar", ".tar.gz", ".tgz")
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.25
_T = TypeVar("_T")


def pack(source: Source) -> bytes:
    """The code of a function: a file or a folder as a tar, an archive or bytes as they are, a URL as its text."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        return source.encode()
    path = pathlib.Path(source)
    if path.is_file() and path.name.endswith(_ARCHIVES):
        return path.read_bytes()
    if not path.exists():
        raise Invalid(f"source: there is no {path}")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        if path.is_dir():
            entries = sorted(path.rglob("*"))
            if not entries:
                raise Invalid(f"source: the folder {path} is empty")
            for entry in entries:
                tar.add(entry, entry.relative_to(path).as_posix(), recursive=False)
        else:
            tar.add(path.resolve(), path.name)
    return packed.getvalue()


def create_body(name: str, *, runtime: str, handler: str | None, source: Source | None, memory: int, cpu: float,
                concurrency: int, timeout: float | None, image: str | None, inputs: Parameters | None,
                outputs: Parameters | None) -> str:
    """The body of /create and /update."""
    body: dict[str, Any] = {"Name": name, "Runtime": runtime, "MemoryMB": memory, "CPUDemand": cpu,
                            "MaxConcurrency": concurrency}
    if handler is not None:
        body["Handler"] = handler
    if source is not None:
        body["TarFunctionCode"] = base64.b64encode(pack(source)).decode()
    if timeout is not None:
        body["TimeoutSec"] = timeout
    if image is not None:
        body["CustomImage"] = image
    if inputs is not None or outputs is not None:
        body["Signature"] = {"Inputs": _typed(inputs), "Outputs": _typed(outputs)}
    return encode(body, "create")


def _typed(parameters: Parameters | None) -> list[dict[str, str]]:
    return [{"Name": name, "Type": kind} for name, kind in parameters or ()]


def encode(value: Any, what: str) -> str:
    """JSON of a value; Invalid if it has none (NaN is none either)."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"{what}: {error}") from error


def encode_params(params: Mapping[str, Any] | None) -> str:
    if params is None:
        return "{}"
    if not isinstance(params, Mapping):
        raise Invalid(f"params: expected a mapping, got {type(params).__name__}")
    return encode(dict(params), "params")


def invoke_body(params: Mapping[str, Any] | None, *, qos_class: int, max_response_time: float | None, offload: bool,
                output: bool, later: bool) -> str:
    """The body of /invoke."""
    rest = encode({"QoSClass": qos_class, "QoSMaxRespT": max_response_time, "CanDoOffloading": offload,
                   "ReturnOutput": output, "Async": later}, "invoke")
    return f'{{"Params":{encode_params(params)},{rest[1:]}'


def header_value(text: str) -> str:
    """The text, if it may stand in a header."""
    if not text.isascii() or not text.isprintable():
        raise Invalid("traceparent: expected printable ASCII")
    return text


def _message(body: bytes, status: int) -> str:
    text = body.decode(errors="replace").strip()
    try:
        said = json.loads(text)
        text = said.get("Error") or said.get("message") or text
    except (ValueError, AttributeError):
        pass
    return str(text) or {409: "there is a function of that name already"}.get(status, f"status {status}")


def read_json(status: int, body: bytes) -> Any:
    """The value of an answer; raises what a failure says."""
    if status != 200:
        raise by_status(status, _message(body, status))
    try:
        return json.loads(body)
    except ValueError as error:
        raise Error(f"not the answer of a node: {error}") from error


def read_call(status: int, body: bytes) -> Answer:
    """The answer of /invoke."""
    if status in (200, 500, 504) and body[:1] == b"{":
        try:
            if "Success" in json.loads(body):
                return read_answer(body)
        except ValueError:
            pass
    raise by_status(status, _message(body, status))


def read_poll(status: int, body: bytes) -> Answer | None:
    """The answer of /poll: None as long as the call has not ended."""
    if status == 404 and body.strip() in (b"pending", b""):
        return None
    if status == 404:
        raise NotFound("there is no such request, or its answer is too old")
    return read_call(status, body)


@dataclasses.dataclass(frozen=True)
class Request(Generic[_T]):
    """A request, and what its answer means."""

    method: str
    path: str
    read: Callable[[int, bytes], _T]  # status and body; raises what a failure says
    body: str | None = None
    traceparent: str | None = None

    def headers(self) -> dict[str, str]:
        headers = {} if self.body is None else {"Content-Type": "application/json"}
        if self.traceparent is not None:
            headers["traceparent"] = header_value(self.traceparent)
        return headers


def store(path: str, body: str) -> Request[Any]:
    """`path`: /create or /update."""
    return Request("POST", path, read_json, body)


def invoke(name: str, params: Mapping[str, Any] | None, *, traceparent: str | None, **options: Any) -> Request[Answer]:
    body = invoke_body(params, later=False, **options)
    return Request("POST", f"/invoke/{quote(name, safe='')}", read_call, body, traceparent)


def invoke_async(name: str, params: Mapping[str, Any] | None, *, traceparent: str | None, **options: Any) -> Request[str]:
    """Its answer is the request id."""
    body = invoke_body(params, later=True, **options)
    return Request("POST", f"/invoke/{quote(name, safe='')}", lambda *said: str(read_json(*said)["ReqId"]), body, traceparent)


def delete(name: str) -> Request[Any]:
    return Request("POST", "/delete", read_json, encode({"Name": name}, "name"))


def functions() -> Request[list[str]]:
    return Request("GET", "/function", read_json)


def prewarm(name: str, count: int) -> Request[int]:
    body = encode({"Function": name, "Instances": count}, "prewarm")
    return Request("POST", "/prewarm", lambda *said: int(read_json(*said)["Prewarmed"]), body)


def status() -> Request[dict[str, Any]]:
    return Request("GET", "/status", read_json)


def poll(request_id: str) -> Request[Answer | None]:
    return Request("GET", f"/poll/{quote(request_id, safe='')}", read_poll)


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a node is, and what is raised when it is not heard."""

    host: str
    port: int
    timeout: float  # seconds that an answer may take

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def unreachable(self, error: Exception) -> Unavailable:
        return Unavailable(f"cannot reach {self}: {error}")

    def silent(self) -> TimedOut:
        return TimedOut(f"no answer of {self} within {self.timeout} s")

    def broken(self, error: Exception) -> UnknownOutcome:
        return UnknownOutcome(f"the connection to {self} broke: {error!r}")


def pauses(request_id: str, timeout: float | None) -> Iterator[float]:
    """For how long to sleep between two polls; raises TimedOut."""
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        rest = pause if deadline is None else deadline - time.monotonic()
        if rest <= 0:
            raise TimedOut(f"{request_id} has not ended within {timeout} s")
        yield min(pause, rest)
        pause = min(2 * pause, _LONGEST_PAUSE)
