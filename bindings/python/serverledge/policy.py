"""Offloading policies written in Python."""

from __future__ import annotations

import abc
import logging
import threading
import time
from collections.abc import Sequence
from typing import Union

from . import _native
from ._native import RUN, WAIT, Choice, FunctionEstimate, Invocation, NodeView, Peer, PoolView, Report, offload, refuse

__all__ = ["RUN", "WAIT", "Choice", "Decision", "FunctionEstimate", "Invocation", "NodeView", "OffloadingPolicy", "Peer",
           "PoolView", "Report", "offload", "refuse"]

Decision = Union[Choice, Sequence[Choice]]

_log = logging.getLogger("serverledge")


class OffloadingPolicy(abc.ABC):
    """Decides for each call where it runs. Its methods are called one at a time, on one thread of its own, and must not call
    the node back. A decision that takes longer than `policy.timeout`, or raises, is made as by localonly."""

    @abc.abstractmethod
    def on_arrival(self, invocation: Invocation, view: NodeView) -> Decision:
        """Where it should run: RUN, WAIT, offload(peer), refuse(reason), or up to four of these, best first: the first that
        is possible then is taken."""

    def on_completion(self, invocation: Invocation, report: Report) -> None:
        """A call that this node accepted has ended."""

    def on_tick(self, view: NodeView) -> None:
        """About once a second."""


def _described(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # its own words are the policy's, too
        return type(error).__name__


class PolicyThread:
    """The thread on which a node's policy runs."""

    def __init__(self, policy: OffloadingPolicy) -> None:
        if not isinstance(policy, OffloadingPolicy):
            raise TypeError(f"policy: expected an OffloadingPolicy, got {type(policy).__name__}")
        kind = type(policy)
        self.bridge = _native.PolicyBridge(kind.on_completion is not OffloadingPolicy.on_completion,
                                           kind.on_tick is not OffloadingPolicy.on_tick)
        self._policy = policy
        self._logged = float("-inf")
        # A daemon: a policy that never returns must not keep the program from ending.
        self._thread = threading.Thread(target=self._serve, name="serverledge-policy", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self, timeout: float) -> None:
        """Ends the thread; one that does not come back in time is left behind."""
        self.bridge.end()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _serve(self) -> None:
        on_arrival, on_completion, on_tick = self._policy.on_arrival, self._policy.on_completion, self._policy.on_tick
        following, answer_and_next = self.bridge.next, self.bridge.answer_and_next
        task = following()
        while task is not None:
            kind, first, second = task
            try:
                if kind == 0:
                    task = answer_and_next(on_arrival(first, second))
                    continue
                if kind == 1:
                    on_completion(first, second)
                else:
                    on_tick(first)
            except BaseException as error:  # whatever it is, it is the policy's
                self.bridge.fail(_described(error))
                self._log_failure()
            task = following()

    def _log_failure(self) -> None:
        now = time.monotonic()
        if now - self._logged >= 60:
            self._logged = now
            _log.warning("the offloading policy raised", exc_info=True)
