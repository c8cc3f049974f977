"""The result of a function as JSON text, strictly: what is not JSON is refused with the place and type of it, and never
written as something else."""

import json

from worker_error import describe

MAX_DEPTH = 512  # the node refuses what is deeper


class NotJson(Exception):
    """A result that is not JSON; its text says what and where."""


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_SCALARS = frozenset((str, int, float, bool, type(None)))


def to_json(value):
    """The UTF-8 JSON text of a result, or NotJson. The encoder does the work; it lets two things pass, keys that are
    not strings and any depth, which a walk over the containers finds."""
    try:
        text = _encode(value).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson(_explain(value) or f"result: {describe(error)}") from None
    except Exception as error:  # a container of the function's own that raises
        raise NotJson(f"result: encoding it raised {describe(error)}") from None
    if type(value) not in _SCALARS and not _plain(value):
        raise NotJson(_explain(value) or "result: not JSON")
    return text


def _plain(value):
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
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
    found = _find(value, [])
    if found is None:
        return None
    steps, what = found
    return f"result{''.join(reversed(steps))}: {what}"


def _find(item, around):
    """The way to the wrong thing, innermost step first, and what it is."""
    wrong = _wrong(item)
    if wrong:
        return [], f"{wrong} is not JSON"
    if not isinstance(item, (dict, list, tuple)):
        return None
    if any(item is one for one in around):
        return [], f"a {type(item).__name__} that contains itself is not JSON"
    if len(around) >= MAX_DEPTH:
        return [], f"nested deeper than {MAX_DEPTH} levels"
    around.append(item)
    keyed = isinstance(item, dict)
    for key, child in item.items() if keyed else enumerate(item):
        if keyed and not isinstance(key, str):
            return [], f"a key of type {type_name(key)} ({_short(key)}) is not JSON, keys must be strings"
        if keyed and _lone_surrogate(key):
            return [], f"a key with a lone surrogate ({_short(key)}) is not JSON"
        found = _find(child, around)
        if found:
            found[0].append(f".{key}" if keyed and key.isidentifier() else f"[{_short(key)}]")
            return found
    around.pop()
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
    return type_name(item)


def type_name(item):
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
