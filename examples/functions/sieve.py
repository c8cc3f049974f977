"""Lists the prime numbers up to `n` (1000 if it is not given), by the sieve of Eratosthenes."""

from math import isqrt


def primes_up_to(n):
    composite = bytearray(n + 1)
    for candidate in range(2, isqrt(n) + 1):
        if not composite[candidate]:
            multiples = range(candidate * candidate, n + 1, candidate)
            composite[multiples.start :: candidate] = b"\1" * len(multiples)
    return [number for number in range(2, n + 1) if not composite[number]]


def handler(params, context):
    primes = primes_up_to(int(params.get("n", 1000)))
    return {"count": len(primes), "primes": primes}
