from typing import Any, final

version: str
RUN: Choice
WAIT: Choice

def offload(peer: Peer) -> Choice:
    """Hand the call to that node."""

def refuse(reason: str) -> Choice:
    """Refuse the call, for that reason."""

@final
class Choice:
    """RUN here, WAIT here, offload(peer) or refuse(reason)."""

@final
class Invocation:
    """A call, as a policy sees it."""

    id: str
    function: str
    runtime: str
    memory: int
    cpu: float
    qos_class: int
    max_response_time: float
    can_offload: bool
    asynchronous: bool
    input_size: int

@final
class PoolView:
    """The containers of the node, in total and of one function. MB and cores."""

    total_memory: int
    busy_memory: int
    held_memory: int
    total_cores: float
    busy_cores: float
    warm: int
    busy: int
    starting: int
    queued: int
    queue_capacity: int

@final
class FunctionEstimate:
    """What the node has learnt of a function; 0 before the first sample. Seconds and bytes."""

    arrival_rate: float
    duration: float
    init_time: float
    cold_probability: float
    input_size: float
    output_size: float
    completions: int

@final
class Peer:
    """Another node, as it was when it was last heard of."""

    key: str
    area: str
    host: str
    port: int
    architecture: str
    available_memory: int
    available_cores: float
    round_trip: float
    known: bool
    avoided: bool
    def warm(self, function: str) -> int: ...
    def refuses(self, function: str) -> bool: ...

@final
class NodeView:
    """The node at the time of a decision."""

    now: float
    pool: PoolView
    function: FunctionEstimate
    neighbours: list[Peer]
    cloud: list[Peer]
    architecture: str
    runnable_here: bool

@final
class Report:
    """How a call ended. `failure` is its kind, empty if the function succeeded. Seconds."""

    failure: str
    area: str
    node: str
    warm: bool
    init_time: float
    queueing_time: float
    offload_latency: float
    duration: float
    response_time: float

@final
class PolicyBridge:
    def __init__(self, wants_completions: bool, wants_ticks: bool) -> None: ...
    def next(self) -> tuple[int, Any, Any] | None: ...
    def answer_and_next(self, said: Any) -> tuple[int, Any, Any] | None: ...
    def fail(self, what: str) -> None: ...
    def end(self) -> None: ...
    def counts(self) -> dict[str, Any]: ...

@final
class CallOptions:
    def __init__(self, qos_class: int, max_response_time: float, offload: bool, output: bool, traceparent: str) -> None: ...

@final
class PendingCall:
    id: str
    def done(self) -> bool: ...
    def wait(self, timeout: float) -> bool: ...
    def cancel(self) -> bool: ...
    def answer(self) -> str: ...

@final
class Node:
    drain: float
    address: str
    def __init__(self, settings: str, is_file: bool, bridge: PolicyBridge | None) -> None: ...
    def stop(self, drain: float) -> None: ...
    def listen(self) -> str: ...
    def store(self, request: str, replace: bool) -> None: ...
    def remove(self, name: str) -> None: ...
    def functions(self) -> list[str]: ...
    def prewarm(self, name: str, count: int) -> int: ...
    def status(self) -> str: ...
    def invoke(self, name: str, params: str, options: CallOptions) -> str: ...
    def submit(self, name: str, params: str, options: CallOptions) -> PendingCall: ...
    def poll(self, request_id: str) -> str | None: ...
