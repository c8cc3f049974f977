"""A function that takes as long as it is told, like one that waits for a device or a database."""

import time


def handler(params, context):
    milliseconds = float(params.get("ms", 50))
    time.sleep(milliseconds / 1000)
    return {"waited": milliseconds}
