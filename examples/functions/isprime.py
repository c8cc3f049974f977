"""Tells whether `n` is a prime number, by trial division."""

from math import isqrt


def is_prime(n):
    return n >= 2 and all(n % divisor for divisor in range(2, isqrt(n) + 1))


def handler(params, context):
    n = int(params["n"])
    return {"n": n, "prime": is_prime(n)}
