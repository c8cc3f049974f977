"""Adds one to `n`. The command line sends text, programs may send numbers: int() takes both."""


def handler(params, context):
    return {"result": int(params["n"]) + 1}
