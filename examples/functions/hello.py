"""Greets, and shows the parameters that it was called with."""


def handler(params, context):
    print("Executing function....")
    return f"Hello, Serverledge!\nParams: {params}"
