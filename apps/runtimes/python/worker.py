"""The Python worker: imports a function's handler and answers its calls over a listening Unix socket.

`serve` is called in a process that will be an instance of one function: forked from the zygote, already inside its
sandbox, and unspecialised. The node opens one connection per slot, sends one call at a time on it and reads one answer,
in frames (worker_frames). Ready is the first frame on every connection; on the first one also before the load, when the
worker stands by for it; that load is the only one of a worker's life. After start_failed the worker exits.

Nothing here defends the worker against the code it runs: the two share a process. What the node believes of an answer,
and what it does about a broken one, is the node's matter. Only the standard library; CPython 3.8 and later.
"""

import os
import resource
import signal
import socket
import sys
import threading

import worker_call
import worker_error
import worker_frames
import worker_output

_EXIT_START_FAILED = 1
_EXIT_CHANNEL_LOST = 74  # EX_IOERR: the socket was closed or broken from inside


class _Worker:
    """One function's handler behind a listener. Each slot has a thread that accepts a connection and serves it."""

    def __init__(self, listener, function):
        self._listener, self._function = listener, function
        self._connections = set()
        worker_call.on_fork(self._close)

    def serve_slot(self, connection=None):
        """Serves one connection after the other, first the one given. Ends the process if the channel breaks."""
        serve_call, call = worker_frames.serve_call, self._function.call
        while True:
            try:
                if connection is None:
                    connection, _ = self._listener.accept()
                self._connections.add(connection)
                try:
                    connection.sendall(worker_frames.ready())
                    while serve_call(connection, call):
                        pass
                finally:
                    self._connections.discard(connection)
                    connection.close()
                    connection = None
            except (OSError, worker_frames.Broken):
                os._exit(_EXIT_CHANNEL_LOST)

    def _close(self):
        for connection in list(self._connections):
            connection.close()
        self._listener.close()


def _refuse(connection, message, trace):
    """Tells that the function did not load, and ends."""
    try:
        connection.sendall(worker_frames.start_failed(message, trace))
        connection.close()
    finally:
        os._exit(_EXIT_START_FAILED)


def _stand_by(listener):
    """Waits for what to become: the first connection, and what it loads."""
    try:
        connection, _ = listener.accept()
        connection.sendall(worker_frames.ready())
        return connection, worker_frames.what_to_load(worker_frames.receive(connection))
    except (OSError, worker_frames.Broken):
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
