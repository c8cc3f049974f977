"""A function in this process: how its handler is found, and how a call of it becomes an answer. Knows no transport."""

import contextvars
import importlib
import json
import os
import sys
import threading
import time

import worker_error
import worker_output
import worker_result

forked = False  # in a child that the handler forked: it must never answer


class Context(dict):
    """What a handler is told of its call: RequestId, Function, MemoryMB, Traceparent, Tracestate, and RemainingSeconds,
    which is worked out whenever it is read (None: the call has no deadline)."""

    def __init__(self, fields):
        left = fields.pop("Deadline", None)
        self._deadline = None if left is None else time.monotonic() + left
        super().__init__(fields)

    def __missing__(self, key):
        if key != "RemainingSeconds":
            raise KeyError(key)
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def __contains__(self, key):
        return key == "RemainingSeconds" or super().__contains__(key)

    def get(self, key, default=None):
        return self[key] if key in self else default


class BadHandler(Exception):
    """A handler that names nothing to call."""


def load(handler, app_dir):
    """The function that `handler` ("package.module.function") names. Raises what its import raises."""
    module_name, dot, name = handler.rpartition(".")
    if not dot or not module_name or not name:
        raise BadHandler(f'handler "{handler}" is not of the form module.function')
    if sys.path[:1] != [app_dir]:
        sys.path.insert(0, app_dir)
    for ours in ("worker", "worker_call", "worker_error", "worker_frames", "worker_http", "worker_output", "worker_result"):
        if (getattr(sys.modules.get(ours), "__file__", None) or "").startswith(_HERE):
            del sys.modules[ours]  # a module of the function's may bear the name
    importlib.invalidate_caches()
    function = getattr(importlib.import_module(module_name), name, None)
    if function is None:
        raise BadHandler(f'module "{module_name}" has no "{name}"')
    if not callable(function):
        raise BadHandler(f'"{name}" of module "{module_name}" is a {worker_result.type_name(function)}, not a function')
    return function


_HERE = os.path.dirname(__file__) + os.sep


class Function:
    """A loaded handler. `call` may run in several threads at once."""

    def __init__(self, handler, output_limit, result_limit):
        self._handler, self._output_limit, self._result_limit = handler, output_limit, result_limit
        self._context = contextvars.copy_context()

    def call(self, arguments, capture):
        """Calls the handler with what `arguments` returns. (whether it failed, the result or the report of the failure
        as JSON text, what it printed, whether that was cut). Does not return from sys.exit."""
        sink = worker_output.Sink(self._output_limit) if capture else None
        # Every call starts from the context that the import left, so that none sees another's variables.
        failed, body = self._context.copy().run(self._answer, sink, arguments)
        if sink is None:
            return failed, body, b"", False
        output = sink.finish()
        return failed, body, output, sink.cut

    def _answer(self, sink, arguments):
        worker_output.current.set(sink)
        try:
            value = self._handler(*arguments())
            if hasattr(value, "__await__"):
                value = _awaited(value)
            text = worker_result.to_json(value)
            if len(text) > self._result_limit:
                raise worker_result.NotJson(f"result: {len(text)} bytes of JSON are over the limit of {self._result_limit}")
            answer = False, text
        except worker_result.NotJson as error:
            answer = True, report(Kind="output", Message=worker_error.cut(str(error), worker_error.MAX_MESSAGE), Traceback="")
        except SystemExit as error:
            _exit(error.code)
        except BaseException as error:
            answer = True, report(Kind="raised", Message=worker_error.describe(error), Traceback=worker_error.trace(error))
        if forked:
            os._exit(0)
        return answer


_loops = threading.local()


def _awaited(value):
    """Waits for an awaitable on the thread's own event loop, which lives as long as the thread: what the function keeps
    between calls (a client session) stays usable."""
    import asyncio

    loop = getattr(_loops, "loop", None)
    if loop is None or loop.is_closed():
        loop = _loops.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)

    async def result():
        return await value

    return loop.run_until_complete(result())


def close_loop():
    """Gives back the event loop of a thread that ends."""
    loop = getattr(_loops, "loop", None)
    if loop is not None and not loop.is_closed():
        loop.close()


def _exit(code):
    """What `sys.exit` in a handler means: the instance ends, with that status."""
    if code is None:
        code = 0
    elif not isinstance(code, int):
        code = 1
    os._exit(code & 0xFF)


def report(**fields):
    """The JSON text of a failure."""
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")


def on_fork(close):
    """Calls `close` in a child that a handler forks: it must hold none of the instance's sockets."""

    def after():
        global forked
        forked = True
        close()

    os.register_at_fork(after_in_child=after)
