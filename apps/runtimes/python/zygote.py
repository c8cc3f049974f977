"""The Python zygote: an interpreter that has imported what functions usually need, and forks into instances.

Started by the launcher's PID 1 with the control socket as descriptor 3, the seccomp filter as 4 and the socket for the
news of its own start as 5. It stays single-threaded and never runs a function's code: a child first enters its
sandbox (libserverledge-isolation.so) and only then becomes the worker that imports the function.
"""

import ctypes
import errno
import gc
import os
import signal
import sys

_CONTROL, _FILTER, _EVENTS = 3, 4, 5
_LISTENER = 4  # in an instance
_REQUEST_SIZE = 384  # sizeof(struct sl_request)
_LIBEXEC = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_OWN_PIDS = "/.world/proc/self/ns/pid"
_STEP_EXEC = 12  # sl_step: what a failure here is told as

# Imported once here instead of in every instance.
_USUAL_MODULES = """
abc argparse array asyncio base64 binascii bisect calendar collections collections.abc concurrent.futures contextlib
contextvars copy csv dataclasses datetime decimal email.message email.utils enum fnmatch fractions functools glob gzip
hashlib heapq hmac html http.client http.cookies importlib inspect io itertools json logging math mimetypes numbers
operator os os.path pathlib pickle platform posixpath pprint queue random re sched secrets select selectors shutil signal
socket socketserver ssl stat statistics string struct subprocess tempfile textwrap threading time timeit traceback types
typing unicodedata urllib.error urllib.parse urllib.request uuid warnings weakref xml.etree.ElementTree zipfile zlib
zoneinfo
""".split()


class _Task(ctypes.Structure):
    """sl_task of isolation.h, of which only the descriptors matter here."""

    _fields_ = [("request", ctypes.c_char * _REQUEST_SIZE), ("fds", ctypes.c_int32 * 8)]


def _import_usual():
    for name in _USUAL_MODULES:
        try:
            __import__(name)
        except ImportError:  # an interpreter built without it, or of another version
            pass


def _import_worker():
    sys.path.insert(0, os.path.join(_LIBEXEC, "python"))
    import worker

    del sys.path[0]
    return worker


def _load_isolation():
    # PyDLL keeps the interpreter's lock: between forks there must be no moment at which it is half let go.
    library = ctypes.PyDLL(os.path.join(_LIBEXEC, "libserverledge-isolation.so"), use_errno=True)
    return library


def _become_instance(library, task, worker):
    """In the fork that is PID 1 of the new namespace. The interpreter learns of a fork with the next one: os.fork()."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    library.sl_confine(ctypes.byref(task))
    child = os.fork()
    if child:
        library.sl_init(child)
    library.sl_become_worker()
    gc.enable()
    worker.serve(_LISTENER)


def _serve(library, worker):
    own = os.open(_OWN_PIDS, os.O_RDONLY | os.O_CLOEXEC)
    task = _Task()
    while True:
        got = library.sl_receive(_CONTROL, ctypes.byref(task))
        if got == 0 or (got < 0 and ctypes.get_errno() != errno.EPROTO):
            return
        if got < 0:
            continue
        if library.sl_fork_init(ctypes.byref(task), own) == 0:
            try:
                _become_instance(library, task, worker)
            finally:
                os._exit(1)
        library.sl_close(ctypes.byref(task))


def main():
    library = _load_isolation()
    try:
        _import_usual()
        worker = _import_worker()
        if library.sl_load_filter(_FILTER) != 0:
            raise OSError(ctypes.get_errno(), "the seccomp filter cannot be read")
    except BaseException as error:
        library.sl_send_failure(_EVENTS, _STEP_EXEC, repr(error).encode()[:90])
        raise
    os.close(_FILTER)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    gc.collect()
    gc.disable()
    gc.freeze()
    library.sl_send_ready(_EVENTS, b"")
    os.close(_EVENTS)
    _serve(library, worker)


if __name__ == "__main__":
    main()
