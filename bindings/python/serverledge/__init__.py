"""Serverledge: functions as a service, at the edge and in the cloud.

`Node` is a node in this process, `Client` one that is reached over HTTP; both have the same methods. `aio.Client` is for
asyncio. A policy in Python is a subclass of `OffloadingPolicy`. docs/python.md has examples."""

from . import aio
from ._native import version as __version__
from .answers import Answer
from .client import Client
from .errors import (Cancelled, Error, Exists, FunctionError, Invalid, NotFound, Refused, TimedOut, Unavailable,
                     UnknownOutcome)
from .functions import Functions, Later
from .node import Node
from .policy import (RUN, WAIT, Choice, FunctionEstimate, Invocation, NodeView, OffloadingPolicy, Peer, PoolView, Report,
                     offload, refuse)

__all__ = [
    "Answer", "Cancelled", "Choice", "Client", "Error", "Exists", "FunctionError", "FunctionEstimate", "Functions",
    "Invalid", "Invocation", "Later", "Node", "NodeView", "NotFound", "OffloadingPolicy", "Peer", "PoolView", "RUN",
    "Refused", "Report", "TimedOut", "Unavailable", "UnknownOutcome", "WAIT", "__version__", "aio", "offload", "refuse",
]
