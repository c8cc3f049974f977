"""The bodies of requests, and the meaning of answers: the contract of docs/api.md, whoever carries it."""

from __future__ import annotations

import base64
import io
import json
import os
import pathlib
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any, Union

from .answers import Answer, read_answer
from .errors import Error, Invalid, NotFound, by_status

Source = Union[str, "os.PathLike[str]", bytes]
Parameters = Sequence[tuple[str, str]]

_ARCHIVES = (".tar", ".tar.gz", ".tgz")


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
