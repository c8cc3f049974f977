"""What a call gave."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from .errors import FunctionError


@dataclasses.dataclass(frozen=True)
class Answer:
    """The answer of a function that returned. Times are seconds."""

    result: Any  # what the function returned, as a Python value; of a custom image that answers no JSON, the text
    warm: bool  # no container had to be started
    duration: float  # of the call itself
    init_time: float  # start of the container; 0 when warm
    queueing_time: float  # wait in the queue
    offload_latency: float  # what handing it to another node added
    response_time: float  # from arrival to answer
    output: str  # what the function printed, if that was asked for
    area: str  # where it ran
    node: str  # key of the node that ran it


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_answer(text: str | bytes) -> Answer:
    """Reads a response object of docs/api.md; raises FunctionError if the function failed."""
    said = json.loads(text)
    failed = not said.get("Success")
    answer = Answer(
        result=None if failed else _value(said.get("Result", "")),
        warm=bool(said.get("IsWarmStart")),
        duration=said.get("Duration", 0.0),
        init_time=said.get("InitTime", 0.0),
        queueing_time=said.get("QueueingTime", 0.0),
        offload_latency=said.get("OffloadLatency", 0.0),
        response_time=said.get("ResponseTime", 0.0),
        output=said.get("Output", ""),
        area=said.get("ExecutionArea", ""),
        node=said.get("ExecutionNode", ""),
    )
    if failed:
        error = said.get("Error") or {}
        raise FunctionError(
            error.get("Message", "the function failed"), error.get("Kind", ""), error.get("Traceback", ""), answer)
    return answer
