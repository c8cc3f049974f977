"""The Python worker's second transport: HTTP/1.1 on a TCP port, as the executor of a container image.

  POST /invoke  {"Handler", "HandlerDir", "Params", "ReturnOutput"}, optional {"Context"}: runs the handler
                -> 200 {"Success", "Result", "Output"}; {"Success": false, "Output", "Error": {"Kind", "Message",
                "Traceback"}} when it failed
  POST /load    {"Handler", "HandlerDir"}: only imports it -> 200 {"Success"}, with "Error" when it does not load
  GET  /frames  with Connection: Upgrade and Upgrade: serverledge-frames
                -> 101, and from then on frames (worker_frames): the peer loads a handler and makes calls of it

A header Serverledge-Call of letters and digits comes back in the answer: it tells that from one made up earlier. What is
no such request gets a 4xx with the same "Error", of kind "protocol". docs/images.md says it all, and names the
environment variables that set the limits. A request is whole before it is acted on; one connection serves any number
of requests, one after the other; each connection has a thread, and the main thread, where signals work, serves the
first. Only the standard library; CPython 3.8 and later.
"""

import json
import os
import select
import socket
import struct
import sys
import threading
import time
from queue import SimpleQueue

import worker_call
import worker_error
import worker_frames
import worker_output

_MAX_HEAD = 16 * 1024
_MAX_CONNECTIONS = 256
_HEAD_PATIENCE = 10  # seconds for the rest of a head whose first bytes are there
_BODY_PATIENCE = 60  # seconds without a byte of a body, or of room for an answer
_CHUNK = 64 * 1024
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
            411: "Length Required", 413: "Content Too Large", 417: "Expectation Failed", 426: "Upgrade Required",
            431: "Request Header Fields Too Large", 503: "Service Unavailable", 505: "HTTP Version Not Supported"}  # fmt: skip
_FRAMES = "serverledge-frames"
_decode = json.JSONDecoder().decode


class _Refused(Exception):
    """A request that is answered with an error of HTTP, with further header fields if there are. After one that is not
    `whole`, the connection is of no use."""

    def __init__(self, status, message, whole=False, fields=""):
        super().__init__(message)
        self.status, self.whole, self.fields = status, whole, fields


class _Request:
    __slots__ = ("method", "path", "size", "keep", "expects", "call", "upgrades", "protocols", "body")


def _parse_head(head, body_limit):
    """The request whose head (without the empty line) this is, its body still to come."""
    try:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, version = first.split(" ")
    except ValueError:
        raise _Refused(400, "this is no HTTP request line") from None
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise _Refused(505 if version.startswith("HTTP/") else 400, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    request = _Request()
    request.method, request.path, request.keep, request.expects = method, path, version == "HTTP/1.1", False
    request.call, request.upgrades, request.protocols = None, False, []
    size = None
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or not _TOKEN.issuperset(name.encode("latin-1")):
            raise _Refused(400, "a header field is malformed")
        name, value = name.lower(), value.strip(" \t")
        if name == "content-length":
            if size is not None or not (value.isascii() and value.isdigit()):
                raise _Refused(400, "Content-Length must be there once, and a number")
            size = value
        elif name == "transfer-encoding":
            raise _Refused(411, "a body needs a Content-Length; transfer encodings are not read")
        elif name == "connection":
            options = _listed(value)
            request.upgrades = request.upgrades or ("upgrade" in options and version == "HTTP/1.1")
            request.keep = "close" not in options and (request.keep or "keep-alive" in options)
        elif name == "expect":
            if value.lower() != "100-continue":
                raise _Refused(417, "only 100-continue can be expected")
            request.expects = True
        elif name == "upgrade":
            request.protocols += _listed(value)
        elif name == "serverledge-call" and value.isascii() and value.isalnum() and len(value) <= 64:
            request.call = value
    if size is not None and (len(size) > 15 or int(size) > body_limit):
        raise _Refused(413, f"the body is over the limit of {body_limit} bytes")
    request.size = 0 if size is None else int(size)
    return request


def _listed(value):
    """The words of a header field that is a list."""
    return [word.strip(" \t") for word in value.lower().split(",")]


def _check_upgrade(request):
    """Refuses what asks /frames for anything else than frames."""
    if request.method != "GET":
        raise _Refused(405, "/frames takes GET", True, "Allow: GET\r\n")
    if not request.upgrades or _FRAMES not in request.protocols or request.size != 0:
        message = f"/frames needs Connection: Upgrade and Upgrade: {_FRAMES}, and takes no body"
        raise _Refused(426, message, True, f"Upgrade: {_FRAMES}\r\nConnection: Upgrade\r\n")


class _Connection:
    """One peer. Reads whole requests, writes each answer in one piece; or serves frames."""

    def __init__(self, sock, body_limit):
        self._sock, self._body_limit = sock, body_limit
        self._ahead = b""  # bytes of the next request
        self.in_call = False
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _BODY_PATIENCE, 0))

    def fileno(self):
        return self._sock.fileno()

    def close(self):
        self._sock.close()

    def is_over(self):
        """Whether the peer has closed it, with nothing left to read."""
        try:
            return self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def receive(self):
        """The next request, None at the end of the stream. Waits for its first byte for ever, for the rest not."""
        data, self._ahead = self._ahead, b""
        if not data:
            data = self._sock.recv(_CHUNK)
            if not data:
                return None
        try:
            while (end := data.find(b"\r\n\r\n")) < 0 and len(data) <= _MAX_HEAD:
                data += self._more(_HEAD_PATIENCE)
            if not 0 <= end <= _MAX_HEAD:
                raise _Refused(431, f"the head of the request is over the limit of {_MAX_HEAD} bytes")
            request = _parse_head(data[:end], self._body_limit)
            self._receive_body(request, data[end + 4 :])
        finally:
            if self._sock.gettimeout() is not None:
                self._sock.settimeout(None)
        return request

    def _receive_body(self, request, data):
        if len(data) < request.size:
            if request.expects:
                self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            parts, have = [data], len(data)
            while have < request.size:
                parts.append(self._more(_BODY_PATIENCE))
                have += len(parts[-1])
            data = b"".join(parts)
        request.body, self._ahead = data[: request.size], data[request.size :]

    def _more(self, patience):
        self._sock.settimeout(patience)
        try:
            data = self._sock.recv(_CHUNK)
        except socket.timeout:
            raise _Refused(408, "the rest of the request did not come") from None
        if not data:
            raise ConnectionError("the stream ended inside a request")
        return data

    def answer(self, status, body, keep, call=None, more=""):
        if call is not None:
            more += f"Serverledge-Call: {call}\r\n"
        head = (f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n{more}"
                f"Content-Length: {len(body)}\r\nConnection: {'keep-alive' if keep else 'close'}\r\n\r\n")  # fmt: skip
        self._sock.sendall(head.encode() + body)

    def serve_frames(self, functions):
        """Loads what the peer names in frames, and answers its calls until it closes."""
        self._sock.sendall(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {_FRAMES}\r\n\r\n".encode())
        sock, limits = self._sock, (self._body_limit, _BODY_PATIENCE)
        self.in_call = False
        ahead = self._ahead
        first = worker_frames.receive_rest(sock, ahead, *limits) if ahead else worker_frames.receive(sock, *limits)
        if first is None:
            return
        what = worker_frames.what_to_load(first)
        handler, folder = what.get("Handler"), what.get("AppDir", "/app")
        if not isinstance(handler, str) or not isinstance(folder, str):
            raise worker_frames.Broken("a load without a Handler")
        self.in_call = True
        function, failure = functions.find(handler, folder)
        self.in_call = False
        if failure is not None:
            sock.sendall(worker_frames.start_failed(*failure))
            return self.end()

        def call(arguments, capture):
            self.in_call = True
            answer = function.call(arguments, capture)
            self.in_call = False
            return answer

        sock.sendall(worker_frames.ready())
        while worker_frames.serve_call(sock, call, functions.context, *limits):
            pass

    def end(self):
        """Lets the peer read the last answer although it may still be sending: closing would reset the connection."""
        self._sock.shutdown(socket.SHUT_WR)
        self._sock.settimeout(1)
        for _ in range(64):
            if not self._sock.recv(_CHUNK):
                break


class _Functions:
    """The handlers that were asked for, each loaded once. Answers requests, in any number of threads."""

    def __init__(self, output_limit, result_limit):
        self._limits = output_limit, result_limit
        self._output_limit = output_limit
        self._loaded = {}
        self._lock = threading.Lock()
        try:
            self._context = _decode(os.environ.get("CONTEXT", "{}"))
        except ValueError:
            self._context = None
        if not isinstance(self._context, dict):
            sys.exit("worker_http: the environment variable CONTEXT must be a JSON object")

    def answer(self, request):
        """The body of the answer to a request."""
        if request.path not in ("/invoke", "/load"):
            raise _Refused(404, "there is only /invoke, /load and /frames", whole=True)
        if request.method != "POST":
            raise _Refused(405, f"{request.path} takes POST", True, "Allow: POST\r\n")
        fields, raised = _parse_body(request.body)
        handler, folder = _text(fields, "Handler", None), _text(fields, "HandlerDir", "/app")
        function, failure = self.find(handler, folder)
        if failure is not None:
            return _failed(worker_call.report(Kind="start", Message=failure[0], Traceback=failure[1]), "")
        if request.path == "/load":
            return b'{"Success":true}'
        return self._call(function, fields, raised)

    def _call(self, function, fields, raised):
        params = fields.get("Params")
        told = _object(fields, "Context")

        def arguments():
            if raised is not None:
                raise raised
            return {} if params is None else params, self.context(told)

        failed, body, output, cut = function.call(arguments, fields.get("ReturnOutput") is True)
        output = output.decode("utf-8", "replace")
        if cut:
            output += f"\n[output cut at {self._output_limit} bytes]\n"
        if failed:
            return _failed(body, output)
        return b'{"Success":true,"Result":%s,"Output":%s}' % (_json(body.decode()), _json(output))

    def context(self, told):
        """What a handler is told of a call: by the image, and by the call."""
        return worker_call.Context({**self._context, **told})

    def find(self, handler, folder):
        """The function of a handler, or message and traceback of why it does not load."""
        function = self._loaded.get((handler, folder))
        if function is not None:
            return function, None
        with self._lock:
            if (handler, folder) not in self._loaded:
                try:
                    os.chdir(folder)
                    loaded = worker_call.load(handler, folder)
                except worker_call.BadHandler as error:
                    return None, (str(error), "")
                except BaseException as error:  # also SystemExit: a module that exits has not loaded
                    return None, (worker_error.describe(error), worker_error.trace(error))
                self._loaded[handler, folder] = worker_call.Function(loaded, *self._limits)
            return self._loaded[handler, folder], None


def _parse_body(body):
    """The request's object; beside it what Python raised on params that are JSON and that it cannot read."""
    raised = None
    try:
        text = body.decode()
        try:
            fields = _decode(text)
        except json.JSONDecodeError:
            raise
        except ValueError as error:  # an integer of too many digits: the function is told
            fields, raised = json.JSONDecoder(parse_int=float).decode(text), error
    except json.JSONDecodeError as error:
        raise _Refused(400, f"the body is not JSON: {error}", whole=True) from None
    except UnicodeDecodeError:
        raise _Refused(400, "the body is not UTF-8", whole=True) from None
    except RecursionError:
        raise _Refused(400, "the body is nested too deeply", whole=True) from None
    if not isinstance(fields, dict):
        raise _Refused(400, "the body must be a JSON object", whole=True)
    return fields, raised


def _text(fields, key, otherwise):
    value = fields.get(key)
    if value is None or value == "":
        value = otherwise
    if not isinstance(value, str):
        raise _Refused(400, f"the request needs a {key}, a string", whole=True)
    return value


def _object(fields, key):
    value = fields.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict) or not isinstance(value.get("Deadline", 0), (int, float)):
        raise _Refused(400, f"{key} must be an object, its Deadline a number of seconds", whole=True)
    return value


def _json(text):
    return json.dumps(text, ensure_ascii=False).encode()


def _failed(failure, output):
    return b'{"Success":false,"Output":%s,"Error":%s}' % (_json(output), failure)


class _Server:
    """Accepts connections and gives each a thread: the main one if it is free, else a new one."""

    def __init__(self, listener, functions, body_limit):
        self._listener, self._functions, self._body_limit = listener, functions, body_limit
        self._connections = set()
        self._for_main = SimpleQueue()
        self._of_main = None  # the connection that the main thread serves, or was given last
        self._lock = threading.Lock()  # of _of_main
        worker_call.on_fork(self._close)

    def run(self):
        threading.Thread(target=self._accept, daemon=True).start()
        while True:
            connection = self._for_main.get()
            self._serve(connection)
            with self._lock:
                if self._of_main is connection:
                    self._of_main = None

    def _accept(self):
        """Keeps connections that have said nothing: a peer may only want to know that somebody listens."""
        silent = {}
        poll = select.epoll()
        poll.register(self._listener, select.EPOLLIN)
        while True:
            for fd, _ in poll.poll():
                try:
                    if fd != self._listener.fileno():
                        poll.unregister(fd)
                        self._give_thread(silent.pop(fd))
                        continue
                    connection = _Connection(self._listener.accept()[0], self._body_limit)
                    self._connections.add(connection)
                    silent[connection.fileno()] = connection
                    poll.register(connection, select.EPOLLIN | select.EPOLLRDHUP)
                except OSError:  # a peer that is gone already, or no descriptors for a while
                    time.sleep(0.01)

    def _give_thread(self, connection):
        if connection.is_over():
            return self._drop(connection)
        if len(self._connections) > _MAX_CONNECTIONS:
            return self._turn_away(connection, f"over {_MAX_CONNECTIONS} connections at once")
        with self._lock:
            first = self._of_main
            if first is None or (not first.in_call and first.is_over()):
                self._of_main = connection
                return self._for_main.put(connection)
        try:
            threading.Thread(target=self._serve_beside, args=(connection,), daemon=True).start()
        except RuntimeError as error:  # at a limit of processes
            self._turn_away(connection, str(error))

    def _turn_away(self, connection, message):
        try:
            connection.answer(503, _failed(worker_call.report(Kind="protocol", Message=message, Traceback=""), ""), False)
        except OSError:
            pass
        self._drop(connection)

    def _serve_beside(self, connection):
        self._serve(connection)
        worker_call.close_loop()

    def _serve(self, connection):
        try:
            while self._serve_request(connection):
                pass
        except (OSError, worker_frames.Broken):  # the peer is gone, or is none
            pass
        finally:
            self._drop(connection)

    def _serve_request(self, connection):
        keep, status, call, more = False, 200, None, ""
        try:
            request = connection.receive()
            if request is None:
                return False
            connection.in_call = True
            keep, call = request.keep, request.call
            if request.path == "/frames":
                _check_upgrade(request)
                return connection.serve_frames(self._functions)
            body = self._functions.answer(request)
        except _Refused as error:
            status, keep, more = error.status, keep and error.whole, error.fields
            body = _failed(worker_call.report(Kind="protocol", Message=str(error), Traceback=""), "")
        connection.in_call = False  # before its peer can know that: it may come again at once, see _give_thread
        connection.answer(status, body, keep, call, more)
        if not keep:
            connection.end()
        return keep

    def _drop(self, connection):
        self._connections.discard(connection)
        connection.close()

    def _close(self):
        for connection in list(self._connections):
            connection.close()
        self._listener.close()


def _number(name, default):
    text = os.environ.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        sys.exit(f"worker_http: the environment variable {name} must be a number, not {text!r}")
    return int(text)


def main():
    body_limit = _number("EXECUTOR_BODY_LIMIT", 64 << 20)
    functions = _Functions(_number("EXECUTOR_OUTPUT_LIMIT", 1 << 20), _number("EXECUTOR_RESULT_LIMIT", 6 << 20))
    listener = socket.create_server(("", _number("EXECUTOR_PORT", 8080)), backlog=512)
    print("listening on port %d" % listener.getsockname()[1], file=sys.stderr, flush=True)
    worker_output.install()
    sys.dont_write_bytecode = True
    sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
    _Server(listener, functions, body_limit).run()


if __name__ == "__main__":
    main()
