"""What a function prints, per call: in place of sys.stdout and sys.stderr, for threads that a call starts too."""

import concurrent.futures.thread
import contextvars
import io
import os
import sys
import threading


class Sink:
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


# The sink of the call that the running code belongs to; None: what it prints goes nowhere.
current = contextvars.ContextVar("serverledgecurrent", default=None)


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
        sink = current.get()
        if sink is not None:
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
        sink = current.get()
        if sink is not None:
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
        sink = current.get()
        if sink is not None:
            run = self.run

            def run_in_call():
                current.set(sink)
                run()

            self.run = run_in_call
        return start(self)

    def submit_in_call(self, fn, /, *args, **kwargs):
        sink = current.get()
        if sink is None:
            return submit(self, fn, *args, **kwargs)

        def task():
            token = current.set(sink)
            try:
                return fn(*args, **kwargs)
            finally:
                current.reset(token)

        return submit(self, task)

    threading.Thread.start = start_in_call
    concurrent.futures.thread.ThreadPoolExecutor.submit = submit_in_call


def install():
    """Puts the streams in the place of standard output and error, and /dev/null under their descriptors: what is not
    written by Python code (a library in C, a program that is run) is not captured."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
    sys.stdout = sys.__stdout__ = _Text(1, "<stdout>")
    sys.stderr = sys.__stderr__ = _Text(2, "<stderr>")
    _follow_threads()
