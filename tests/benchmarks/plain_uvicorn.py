"""The floor of a warm call: a no-op behind a plain ASGI server that reads the same request and gives the same answer."""

import json
import time


def handler(params, context):
    return None


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    arrival = time.monotonic()
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    request = json.loads(body) if body else {}
    result = json.dumps(handler(request.get("Params", {}), {}))
    took = time.monotonic() - arrival
    answer = json.dumps({
        "Success": True, "Result": result, "ResponseTime": took, "IsWarmStart": True, "InitTime": 0, "QueueingTime": 0,
        "OffloadLatency": 0, "Duration": took, "Output": "", "ExecutionArea": "ROME", "ExecutionNode": "uvicorn",
    }, separators=(",", ":")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
