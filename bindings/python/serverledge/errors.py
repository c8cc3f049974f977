"""What goes wrong, as exceptions: all of them are `Error`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .answers import Answer


class Error(Exception):
    """Something did not work; the message says what, and what was expected. `detail` (may be empty) says more."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class Invalid(Error, ValueError):
    """An argument is wrong, too large, or asks for what this node can never do."""


class NotFound(Error, LookupError):
    """There is no such function, runtime or request."""


class Exists(Error):
    """There is a function of that name already."""


class Refused(Error):
    """Overload: no memory, cores or place in the queue, or the call's time had passed. Try later."""


class Cancelled(Error):
    """The call was cancelled, or the node stops."""


class Unavailable(Error):
    """The node, or a part of it that is needed, is away."""


class UnknownOutcome(Error):
    """The call may have run, or not: the connection, or the node that it was handed to, broke off."""


class TimedOut(Error, TimeoutError):
    """A wait came to the end of its time. What was waited for goes on."""


class FunctionError(Error):
    """The function failed. `traceback` is as its language prints it, `kind` one of raised, timeout, memory, crashed,
    protocol, start and output, and `answer` has the times."""

    def __init__(self, message: str, kind: str, traceback: str, answer: Answer) -> None:
        super().__init__(message)
        self.kind = kind
        self.traceback = traceback
        self.answer = answer

    def __str__(self) -> str:
        text = str(self.args[0])
        return f"{text}\n{self.traceback.rstrip()}" if self.traceback else text


_BY_CODE: dict[str, type[Error]] = {
    "invalid": Invalid,
    "too large": Invalid,
    "unprocessable": Invalid,
    "not found": NotFound,
    "exists": Exists,
    "no resources": Refused,
    "deadline": TimedOut,
    "cancelled": Cancelled,
    "unavailable": Unavailable,
    "disk full": Unavailable,
    "unknown outcome": UnknownOutcome,
}

_BY_STATUS: dict[int, type[Error]] = {
    400: Invalid,
    404: NotFound,
    409: Exists,
    413: Invalid,
    422: Invalid,
    429: Refused,
    502: UnknownOutcome,
    503: Unavailable,
    507: Unavailable,
}


def by_code(code: str, message: str, detail: str) -> Error:
    """The exception for an error of the library, by the name of its code."""
    return _BY_CODE.get(code, Error)(message, detail)


def by_status(status: int, message: str) -> Error:
    """The exception for an answer over HTTP."""
    return _BY_STATUS.get(status, Error)(message)
