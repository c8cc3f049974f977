"""Frames: what a node and a worker say to each other, on the sandbox's Unix socket and on a connection to the executor of
a container image that was upgraded.

A frame is a 16-byte header (u32 payload length, u8 type, u8 flags, u16 zero, u64 call id, little endian) and the payload:

  1 call          u32 length of the context, the context (JSON object), the params (JSON object); flag 1: capture output
  2 ready         {"Runtime"}: the handler is loaded
  3 result        u32 length of the output, the output, the result as JSON text; flag 1: the output was cut
  4 failure       the same, with {"Kind": "raised" | "output", "Message", "Traceback"}
  5 start_failed  {"Message", "Traceback"} instead of ready; nothing follows
  6 load          {"Handler", "AppDir", ...}: what to become

A connection carries one call at a time: the node sends the next one after the answer.
"""

import json
import struct
import sys

import worker_call

_HEADER = struct.Struct("<IBBHQ")
_LENGTH = struct.Struct("<I")
_CALL, _READY, _RESULT, _FAILURE, _START_FAILED, _LOAD = 1, 2, 3, 4, 5, 6
_CAPTURE = _CUT = 1
_CHUNK = 64 * 1024
_MAX_LENGTH = 0xFFFFFFFF
_decode = json.JSONDecoder().decode


class Broken(Exception):
    """A peer sent what no node sends."""


def ready():
    return _frame(_READY, 0, 0, worker_call.report(Runtime="CPython %d.%d.%d" % sys.version_info[:3]))


def start_failed(message, trace):
    return _frame(_START_FAILED, 0, 0, worker_call.report(Message=message, Traceback=trace))


def _frame(kind, flags, call_id, *parts):
    return b"".join((_HEADER.pack(sum(map(len, parts)), kind, flags, 0, call_id), *parts))


def what_to_load(data):
    """The object of a frame that must be a load."""
    if data is None or data[4] != _LOAD:
        raise Broken("no load")
    try:
        what = _decode(data[_HEADER.size :].decode())
    except (ValueError, RecursionError):
        raise Broken("a load that is not JSON") from None
    if not isinstance(what, dict):
        raise Broken("a load that is no object")
    return what


def serve_call(connection, call, context=worker_call.Context, limit=_MAX_LENGTH, patience=None):
    """Answers the next call of a connection with what `call` (see worker_call.Function) makes of it; False at the end of
    the stream. `context` makes a handler's context of the fields that came; for the rest see `receive`."""
    data = receive(connection, limit, patience)
    if data is None:
        return False
    length, kind, flags, _, call_id = _HEADER.unpack_from(data)
    if kind != _CALL or length < _LENGTH.size:
        raise Broken(f"frame of type {kind}")
    begin = _HEADER.size + _LENGTH.size
    middle = begin + _LENGTH.unpack_from(data, _HEADER.size)[0]

    def arguments():
        return _decode(data[middle:].decode()), context(_decode(data[begin:middle].decode()))

    failed, body, output, cut = call(arguments, flags & _CAPTURE)
    kind = _FAILURE if failed else _RESULT
    connection.sendall(_frame(kind, _CUT if cut else 0, call_id, _LENGTH.pack(len(output)), output, body))
    return True


def receive(connection, limit=_MAX_LENGTH, patience=None):
    """One frame with its header, None at the end of the stream. A small one takes one `recv`. Waits for its first byte for
    ever, for each further part `patience` seconds (None: for ever). A payload over the limit is Broken."""
    data = connection.recv(_CHUNK)
    if not data:
        return None
    size = len(data) - _HEADER.size
    if 0 <= size <= limit and size == _LENGTH.unpack_from(data)[0]:
        return data
    return receive_rest(connection, data, limit, patience)


def receive_rest(connection, data, limit=_MAX_LENGTH, patience=None):
    """The frame that begins with `data`."""
    if patience is None:
        return _rest(connection, data, limit)
    connection.settimeout(patience)
    try:
        return _rest(connection, data, limit)
    finally:
        connection.settimeout(None)


def _rest(connection, data, limit):
    while len(data) < _HEADER.size:
        more = connection.recv(_CHUNK)
        if not more:
            raise Broken("the stream ended inside a header")
        data += more
    length = _LENGTH.unpack_from(data)[0]
    if length > limit:
        raise Broken(f"a frame of {length} bytes is over the limit of {limit}")
    total = _HEADER.size + length
    if len(data) == total:
        return data
    if len(data) > total:
        raise Broken("a second call before the answer to the first")
    frame = bytearray(total)
    frame[: len(data)] = data
    view, have = memoryview(frame), len(data)
    while have < total:
        got = connection.recv_into(view[have:])
        if got == 0:
            raise Broken("the stream ended inside a frame")
        have += got
    return frame
