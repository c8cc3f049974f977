"""The Python worker: imports a function's handler and answers its calls over a listening Unix socket.

`serve` is called in a process that is an instance of one function: forked from the zygote and already inside its
sandbox. The node opens one connection per slot, sends one call at a time on it and reads one answer. Frames are a
16-byte header (u32 payload length, u8 type, u8 flags, u16 zero, u64 call id, little endian) and the payload:

  1 call          u32 length of the context, the context (JSON object), the params (JSON object); flag 1: capture output
  2 ready         {"Runtime"}: the first frame on every connection
  3 result        u32 length of the output, the output, the result as JSON text; flag 1: the output was cut
  4 failure       the same, with {"Kind": "raised" | "output", "Message", "Traceback"}
  5 start_failed  {"Message", "Traceback"} instead of ready; the worker then exits

Nothing here defends the worker against the code it runs: the two share a process. What the node believes of an answer,
and what it does about a broken one, is the node's matter. Only the standard library; CPython 3.8 and later.
"""

import concurrent.futures.thread
import contextvars
import importlib
import io
import json
import os
import socket
import struct
import sys
import threading
import time
import traceback

_HEADER = struct.Struct("<IBBHQ")
_LENGTH = struct.Struct("<I")
_CALL, _READY, _RESULT, _FAILURE, _START_FAILED = 1, 2, 3, 4, 5
_CAPTURE = _CUT = 1
_CHUNK = 64 * 1024
_MAX_DEPTH = 512  # of a result; the node refuses what is deeper
_MAX_MESSAGE = 64 * 1024
_MAX_TRACEBACK = 256 * 1024
_EXIT_START_FAILED = 1
_EXIT_CHANNEL_LOST = 74  # EX_IOERR: the socket was closed or broken from inside

_forked = False  # in a child that the handler forked: it must never answer


# ---- what the function prints ----------------------------------------------------------------------------------------


class _Sink:
    """The output of one call, up to a limit. Threads of a call may write at once; nobody ever waits."""

    __slots__ = ("limit", "size", "chunks", "cut", "open")

    def __init__(self, limit):
        self.limit, self.size, self.chunks, self.cut, self.open = limit, 0, [], False, True

    def write(self, data):
        if not self.open or not data:
            return
        room = self.limit - self.size
        if len(data) > room:
            self.cut = True
            if room <= 0:
                return
            data = data[:room]
        self.size += len(data)
        self.chunks.append(data)

    def finish(self):
        """The bytes so far; what is written later is dropped."""
        self.open = False
        data = b"".join(self.chunks)
        self.chunks = []
        if self.cut or len(data) > self.limit:  # concurrent writers may have passed the limit together
            self.cut = True
            data = _whole_characters(data[: self.limit])
        return data


def _whole_characters(data):
    """`data` without a UTF-8 sequence that was cut at its end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:  # the last byte that begins a character
            needed = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data if back >= needed else data[:-back]
    return data


_sink = contextvars.ContextVar("serverledge_sink", default=None)


class _Bytes(io.BufferedIOBase):
    """`sys.stdout.buffer`."""

    def __init__(self, fd):
        self._fd = fd

    def writable(self):
        return True

    def fileno(self):
        return self._fd

    def write(self, data):
        size = memoryview(data).nbytes
        sink = _sink.get()
        if sink is not None and not _forked:
            sink.write(bytes(data))
        return size

    def close(self):
        pass


class _Text(io.TextIOBase):
    """`sys.stdout` and `sys.stderr`: to the call that the writing code belongs to, or nowhere."""

    encoding = "utf-8"
    errors = "backslashreplace"
    line_buffering = True
    write_through = True
    mode = "w"

    def __init__(self, fd, name):
        self.buffer = _Bytes(fd)
        self.name = name
        self._fd = fd

    def writable(self):
        return True

    def fileno(self):
        return self._fd

    def reconfigure(self, **_):
        pass

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        sink = _sink.get()
        if sink is not None and not _forked:
            room = sink.limit - sink.size  # bytes are at least as many as characters
            if room <= 0:
                sink.cut = sink.cut or bool(text)
            elif len(text) > room:
                sink.write((text[: room + 1]).encode("utf-8", "backslashreplace"))
            else:
                sink.write(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def close(self):
        pass


def _follow_threads():
    """Lets a thread, and a task of a thread pool, print to the call that started it. Python gives a new thread an empty
    context; only our variable is set in it, so the function's own context variables behave as ever."""
    start = threading.Thread.start
    submit = concurrent.futures.thread.ThreadPoolExecutor.submit

    def start_in_call(self):
        sink = _sink.get()
        if sink is not None:
            run = self.run

            def run_in_call():
                _sink.set(sink)
                run()

            self.run = run_in_call
        return start(self)

    def submit_in_call(self, fn, /, *args, **kwargs):
        sink = _sink.get()
        if sink is None:
            return submit(self, fn, *args, **kwargs)

        def task():
            token = _sink.set(sink)
            try:
                return fn(*args, **kwargs)
            finally:
                _sink.reset(token)

        return submit(self, task)

    threading.Thread.start = start_in_call
    concurrent.futures.thread.ThreadPoolExecutor.submit = submit_in_call


# ---- what the function returns ---------------------------------------------------------------------------------------


class _NotJson(Exception):
    """A result that is not JSON; its text says what and where."""


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().decode
_SCALARS = frozenset((str, int, float, bool, type(None)))


def _to_json(value):
    """The UTF-8 JSON text of a result, or _NotJson. The encoder does the work; it lets two things pass, keys that are
    not strings and any depth, which a walk over the containers finds."""
    try:
        text = _encode(value).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise _NotJson(_explain(value) or f"result: {_message(error)}") from None
    except Exception as error:  # a container of the function's own that raises
        raise _NotJson(f"result: encoding it raised {_message(error)}") from None
    if type(value) not in _SCALARS and not _plain(value):
        raise _NotJson(_explain(value) or "result: not JSON")
    return text


def _plain(value):
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _MAX_DEPTH:
            return False
        below = []
        for item in level:
            if isinstance(item, dict):
                for key in item:
                    if not isinstance(key, str):
                        return False
                item = item.values()
            elif not isinstance(item, (list, tuple)):
                continue
            below.extend([child for child in item if type(child) not in _SCALARS])
        level = below
    return True


def _explain(value):
    """Where the first thing is in `value` that is not JSON, and what it is; None if none is found."""
    pending = [("result", value, ())]  # path, value, ids of the containers around it
    while pending:
        path, item, around = pending.pop()
        wrong = _wrong(item)
        if wrong:
            return f"{path}: {wrong} is not JSON"
        if not isinstance(item, (dict, list, tuple)):
            continue
        if id(item) in around:
            return f"{path}: a {type(item).__name__} that contains itself is not JSON"
        if len(around) >= _MAX_DEPTH:
            return f"result: nested deeper than {_MAX_DEPTH} levels"
        around = around + (id(item),)
        children = []
        if isinstance(item, dict):
            for key, child in item.items():
                if not isinstance(key, str):
                    return f"{path}: a key of type {_type_name(key)} ({_short(key)}) is not JSON, keys must be strings"
                if _lone_surrogate(key):
                    return f"{path}: a key with a lone surrogate ({_short(key)}) is not JSON"
                children.append((path + (f".{key}" if key.isidentifier() else f"[{_short(key)}]"), child, around))
        else:
            children = [(f"{path}[{index}]", child, around) for index, child in enumerate(item)]
        pending.extend(reversed(children))
    return None


def _wrong(item):
    """What is wrong with this value itself; None if it is JSON, or a container to look into."""
    if item is None or isinstance(item, (bool, dict, list, tuple)):
        return None
    if isinstance(item, str):
        return "a string with a lone surrogate" if _lone_surrogate(item) else None
    if isinstance(item, float):
        return None if float("-inf") < item < float("inf") else f"{float.__repr__(item)} (float)"
    if isinstance(item, int):
        try:
            int.__repr__(item)
        except ValueError:
            return "an int of more digits than sys.set_int_max_str_digits allows"
        return None
    return _type_name(item)


def _type_name(item):
    kind = type(item)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _short(item):
    try:
        text = ascii(item)
    except Exception:
        return "?"
    return text if len(text) <= 60 else text[:57] + "..."


def _lone_surrogate(text):
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


# ---- what the function raises ----------------------------------------------------------------------------------------


def _message(error):
    """"ZeroDivisionError: division by zero", as the last line of a traceback has it."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    try:
        text = str(error)
    except BaseException:
        text = "<exception str() failed>"
    return _cut(f"{name}: {text}" if text else name, _MAX_MESSAGE)


def _traceback(error):
    """The traceback as Python prints it, from the first frame of the function's own code on."""
    frames = error.__traceback__
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, frames))
    except BaseException:
        return ""
    return _cut(text, _MAX_TRACEBACK)


def _is_ours(filename):
    if filename == __file__ or filename.startswith("<frozen importlib"):
        return True
    asyncio = sys.modules.get("asyncio")
    return filename == importlib.__file__ or (asyncio is not None and filename == asyncio.base_events.__file__)


def _cut(text, limit):
    return text if len(text) <= limit else text[:limit] + "... (cut)"


def _report(**fields):
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")


# ---- calls -----------------------------------------------------------------------------------------------------------


class Context(dict):
    """What a handler is told of its call: RequestId, Function, MemoryMB, Traceparent, and RemainingSeconds, which is
    worked out whenever it is read (None: the call has no deadline)."""

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


class _ChannelLost(Exception):
    """The socket no longer works, or brought what no node sends."""


class _Worker:
    """One function's handler behind a listener. Each slot has a thread that accepts a connection and serves it."""

    def __init__(self, listener, handler, context, output_limit, result_limit):
        self._listener, self._handler, self._context = listener, handler, context
        self._output_limit, self._result_limit = output_limit, result_limit
        self._connections = set()
        self._loops = threading.local()
        os.register_at_fork(after_in_child=self._after_fork)

    def serve_slot(self):
        """Serves one connection after the other. Ends the process if the channel breaks."""
        while True:
            try:
                connection, _ = self._listener.accept()
                self._connections.add(connection)
                try:
                    connection.sendall(_frame(_READY, 0, 0, _report(Runtime=runtime_name())))
                    while self._serve_call(connection):
                        pass
                finally:
                    self._connections.discard(connection)
                    connection.close()
            except (OSError, _ChannelLost):
                os._exit(_EXIT_CHANNEL_LOST)

    def _serve_call(self, connection):
        data = _receive(connection)
        if data is None:
            return False
        length, kind, flags, _, call_id = _HEADER.unpack_from(data)
        if kind != _CALL or length < _LENGTH.size:
            raise _ChannelLost(f"frame of type {kind}")
        begin = _HEADER.size + _LENGTH.size
        middle = begin + _LENGTH.unpack_from(data, _HEADER.size)[0]
        sink = _Sink(self._output_limit) if flags & _CAPTURE else None
        # Every call starts from the context that the import left, so that none sees another's variables.
        kind, body = self._context.copy().run(self._answer, sink, data[begin:middle], data[middle:])
        output = sink.finish() if sink else b""
        flags = _CUT if sink and sink.cut else 0
        connection.sendall(_frame(kind, flags, call_id, _LENGTH.pack(len(output)), output, body))
        return True

    def _answer(self, sink, context, params):
        """Type and body of the answer to a call."""
        _sink.set(sink)
        try:
            value = self._handler(_decode(params.decode()), Context(_decode(context.decode())))
            if hasattr(value, "__await__"):
                value = self._awaited(value)
            text = _to_json(value)
            if len(text) > self._result_limit:
                raise _NotJson(f"result: {len(text)} bytes of JSON are over the limit of {self._result_limit}")
            answer = _RESULT, text
        except _NotJson as error:
            answer = _FAILURE, _report(Kind="output", Message=_cut(str(error), _MAX_MESSAGE), Traceback="")
        except SystemExit as error:
            _exit(error.code)
        except BaseException as error:
            answer = _FAILURE, _report(Kind="raised", Message=_message(error), Traceback=_traceback(error))
        if _forked:
            os._exit(0)
        return answer

    def _awaited(self, value):
        """Waits for an awaitable on the slot's own event loop, which lives as long as the slot: what the function keeps
        between calls (a client session) stays usable."""
        import asyncio

        loop = getattr(self._loops, "loop", None)
        if loop is None or loop.is_closed():
            loop = self._loops.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)

        async def result():
            return await value

        return loop.run_until_complete(result())

    def _after_fork(self):
        """In a child that the handler forked: it holds none of the instance's sockets and answers nothing."""
        global _forked
        _forked = True
        for connection in list(self._connections):
            connection.close()
        self._listener.close()


def _exit(code):
    """What `sys.exit` in a handler means: the instance ends, with that status."""
    if code is None:
        code = 0
    elif not isinstance(code, int):
        code = 1
    os._exit(code & 0xFF)


def _frame(kind, flags, call_id, *parts):
    return b"".join((_HEADER.pack(sum(map(len, parts)), kind, flags, 0, call_id), *parts))


def _receive(connection):
    """One frame with its header, None at the end of the stream. A small one takes one `recv`."""
    data = connection.recv(_CHUNK)
    if not data:
        return None
    while len(data) < _HEADER.size:
        more = connection.recv(_CHUNK)
        if not more:
            raise _ChannelLost("the stream ended inside a header")
        data += more
    total = _HEADER.size + _HEADER.unpack_from(data)[0]
    if len(data) == total:
        return data
    if len(data) > total:
        raise _ChannelLost("a second call before the answer to the first")
    frame = bytearray(total)
    frame[: len(data)] = data
    view, have = memoryview(frame), len(data)
    while have < total:
        got = connection.recv_into(view[have:])
        if got == 0:
            raise _ChannelLost("the stream ended inside a frame")
        have += got
    return frame


# ---- start -----------------------------------------------------------------------------------------------------------


def runtime_name():
    """"CPython 3.11.2"."""
    return "CPython %d.%d.%d" % sys.version_info[:3]


class _BadHandler(Exception):
    """A handler that names nothing to call."""


def _load(handler, app_dir):
    """The function that `handler` ("package.module.function") names. Raises what its import raises."""
    module_name, dot, name = handler.rpartition(".")
    if not dot or not module_name or not name:
        raise _BadHandler(f'handler "{handler}" is not of the form module.function')
    sys.path.insert(0, app_dir)
    sys.modules.pop(__name__, None)  # a module of the function's may bear our name
    importlib.invalidate_caches()
    function = getattr(importlib.import_module(module_name), name, None)
    if function is None:
        raise _BadHandler(f'module "{module_name}" has no "{name}"')
    if not callable(function):
        raise _BadHandler(f'"{name}" of module "{module_name}" is a {_type_name(function)}, not a function')
    return function


def _refuse(listener, message, trace):
    """Tells the first who connects that the function did not load, and ends."""
    try:
        connection, _ = listener.accept()
        connection.sendall(_frame(_START_FAILED, 0, 0, _report(Message=message, Traceback=trace)))
        connection.close()
    finally:
        os._exit(_EXIT_START_FAILED)


def _prepare(app_dir):
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
    sys.stdout = sys.__stdout__ = _Text(1, "<stdout>")
    sys.stderr = sys.__stderr__ = _Text(2, "<stderr>")
    sys.dont_write_bytecode = True
    if "random" in sys.modules:  # forked instances must not share a sequence
        sys.modules["random"].seed()
    _follow_threads()
    os.chdir(app_dir)


def serve(listener_fd, handler, app_dir="/app", slots=1, output_limit=1 << 20, result_limit=6 << 20):
    """Imports `handler` ("package.module.function", looked for in `app_dir`) and answers calls; never returns.

    listener_fd   a listening Unix stream socket; this process takes it over
    slots         connections served at once, each by a thread; the first is the main thread, where signals work
    output_limit  bytes of captured output of one call; more is cut and flagged
    result_limit  bytes of a result's JSON text; more is a failure of kind "output"

    Standard input, output and error become /dev/null; what Python code prints goes to its call, if that asked for it.
    Ends with status 1 when the handler does not load, 74 when the channel breaks, and with the function's own status
    when it calls sys.exit.
    """
    os.set_inheritable(listener_fd, False)
    listener = socket.socket(fileno=listener_fd)
    listener.setblocking(True)
    try:
        _prepare(app_dir)
        function = _load(handler, app_dir)
    except _BadHandler as error:
        _refuse(listener, str(error), "")
    except BaseException as error:  # also SystemExit: a module that exits has not loaded
        _refuse(listener, _message(error), _traceback(error))
    worker = _Worker(listener, function, contextvars.copy_context(), output_limit, result_limit)
    for _ in range(slots - 1):
        threading.Thread(target=worker.serve_slot, daemon=True).start()
    worker.serve_slot()
