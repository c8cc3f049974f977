"""What a function raised, in words."""

import importlib
import os
import sys
import traceback

MAX_MESSAGE = 64 * 1024
_MAX_TRACEBACK = 256 * 1024
_HERE = os.path.dirname(__file__)


def describe(error):
    """"ZeroDivisionError: division by zero", as the last line of a traceback has it."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    try:
        text = str(error)
    except BaseException:
        text = "<exception str() failed>"
    return cut(f"{name}: {text}" if text else name, MAX_MESSAGE)


def trace(error):
    """The traceback as Python prints it, from the first frame of the function's own code on."""
    frames = error.__traceback__
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, frames))
    except BaseException:
        return ""
    return cut(text, _MAX_TRACEBACK)


def _is_ours(filename):
    if os.path.dirname(filename) == _HERE or filename.startswith("<frozen importlib"):
        return True
    asyncio = sys.modules.get("asyncio")
    return filename == importlib.__file__ or (asyncio is not None and filename == asyncio.base_events.__file__)


def cut(text, limit):
    return text if len(text) <= limit else text[:limit] + "... (cut)"
