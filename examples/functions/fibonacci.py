"""The `n`-th Fibonacci number. Integers have no limit here: n = 1000 gives 209 digits."""


def handler(params, context):
    a, b = 0, 1
    for _ in range(int(params["n"])):
        a, b = b, a + b
    return {"result": a}
