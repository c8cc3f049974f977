"""The Python worker: imports a function's handler and answers its calls over a listening Unix socket.

`serve` is called in a process that will be an instance of one function: forked from the zygote, already inside its
sandbox, and unspecialised. The node opens one connection per slot, sends one call at a time on it and reads one answer.
Frames are a 16-byte header (u32 payload length, u8 type, u8 flags, u16 zero, u64 call id, little endian) and the
payload:

  1 call          u32 length of the context, the context (JSON object), the params (JSON object); flag 1: capture output
  2 ready         {"Runtime"}: the first frame on every connection; on the first one also before, when the worker stands
                  by for a load
  3 result        u32 length of the output, the output, the result as JSON text; flag 1: the output was cut
  4 failure       the same, with {"Kind": "raised" | "output", "Message", "Traceback"}
  5 start_failed  {"Message", "Traceback"} instead of ready; the worker then exits
  6 load          {"Handler", "AppDir", "Slots", "OutputLimit", "ResultLimit", "ProcessLimit", "DataLimit"}: what to
                  become (see `serve`); the first frame on the first connection, once in a worker's life

Nothing here defends the worker against the code it runs: the two share a process. What the node believes of an answer,
and what it does about a broken one, is the node's matter. Only the standard library; CPython 3.8 and later.
"""

import json
import os
import resource
import signal
import socket
import struct
import sys
import threading

import worker_call
import worker_error
import worker_output

_HEADER = struct.Struct("<IBBHQ")
_LENGTH = struct.Struct("<I")
_CALL, _READY, _RESULT, _FAILURE, _START_FAILED, _LOAD = 1, 2, 3, 4, 5, 6
_CAPTURE = _CUT = 1
_CHUNK = 64 * 1024
_decode = json.JSONDecoder().decode
_EXIT_START_FAILED = 1
_EXIT_CHANNEL_LOST = 74  # EX_IOERR: the socket was closed or broken from inside


class _ChannelLost(Exception):
    """The socket no longer works, or brought what no node sends."""


class _Worker:
    """One function's handler behind a listener. Each slot has a thread that accepts a connection and serves it."""

    def __init__(self, listener, function):
        self._listener, self._function = listener, function
        self._connections = set()
        worker_call.on_fork(self._close)

    def serve_slot(self, connection=None):
        """Serves one connection after the other, first the one given. Ends the process if the channel breaks."""
        while True:
            try:
                if connection is None:
                    connection, _ = self._listener.accept()
                self._connections.add(connection)
                try:
                    connection.sendall(_frame(_READY, 0, 0, worker_call.report(Runtime=runtime_name())))
                    while self._serve_call(connection):
                        pass
                finally:
                    self._connections.discard(connection)
                    connection.close()
                    connection = None
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

        def arguments():
            return _decode(data[middle:].decode()), worker_call.Context(_decode(data[begin:middle].decode()))

        failed, body, output, cut = self._function.call(arguments, flags & _CAPTURE)
        kind = _FAILURE if failed else _RESULT
        connection.sendall(_frame(kind, _CUT if cut else 0, call_id, _LENGTH.pack(len(output)), output, body))
        return True

    def _close(self):
        for connection in list(self._connections):
            connection.close()
        self._listener.close()


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


def runtime_name():
    """"CPython 3.11.2"."""
    return "CPython %d.%d.%d" % sys.version_info[:3]


def _refuse(connection, message, trace):
    """Tells that the function did not load, and ends."""
    try:
        connection.sendall(_frame(_START_FAILED, 0, 0, worker_call.report(Message=message, Traceback=trace)))
        connection.close()
    finally:
        os._exit(_EXIT_START_FAILED)


def _stand_by(listener):
    """Waits for what to become: the first connection, and what it loads."""
    try:
        connection, _ = listener.accept()
        connection.sendall(_frame(_READY, 0, 0, worker_call.report(Runtime=runtime_name())))
        data = _receive(connection)
        if data is None or data[4] != _LOAD:
            raise _ChannelLost("no load")
        return connection, json.loads(data[_HEADER.size :])
    except (OSError, ValueError, _ChannelLost):
        os._exit(_EXIT_CHANNEL_LOST)


def _limit(which, value):
    """Lowers a limit of this process for good."""
    if value:
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))


def serve(listener_fd):
    """Stands by until a connection tells what to become, imports that and answers calls; never returns.

    listener_fd is a listening Unix stream socket; this process takes it over. Of a load:
    Handler       "package.module.function", looked for in AppDir ("/app")
    Slots         connections served at once (1), each by a thread; the first is the main thread, where signals work
    OutputLimit   bytes of captured output of one call (1 MiB); more is cut and flagged
    ResultLimit   bytes of a result's JSON text (6 MiB); more is a failure of kind "output"
    ProcessLimit  RLIMIT_NPROC, and DataLimit RLIMIT_DATA (0: unchanged)

    Standard input, output and error become /dev/null; what Python code prints goes to its call, if that asked for it.
    Ends with status 1 when the handler does not load, 74 when the channel breaks, and with the function's own status
    when it calls sys.exit.
    """
    os.set_inheritable(listener_fd, False)
    listener = socket.socket(fileno=listener_fd)
    listener.setblocking(True)
    worker_output.install()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the zygote lets the kernel reap; a function may want to
    sys.dont_write_bytecode = True
    if "random" in sys.modules:  # forked instances must not share a sequence
        sys.modules["random"].seed()
    connection, what = _stand_by(listener)
    try:
        _limit(resource.RLIMIT_NPROC, what.get("ProcessLimit"))
        _limit(resource.RLIMIT_DATA, what.get("DataLimit"))
        app_dir = what.get("AppDir", "/app")
        os.chdir(app_dir)
        handler = worker_call.load(what["Handler"], app_dir)
    except worker_call.BadHandler as error:
        _refuse(connection, str(error), "")
    except BaseException as error:  # also SystemExit: a module that exits has not loaded
        _refuse(connection, worker_error.describe(error), worker_error.trace(error))
    function = worker_call.Function(handler, what.get("OutputLimit", 1 << 20), what.get("ResultLimit", 6 << 20))
    worker = _Worker(listener, function)
    for _ in range(what.get("Slots", 1) - 1):
        threading.Thread(target=worker.serve_slot, daemon=True).start()
    worker.serve_slot(connection)
