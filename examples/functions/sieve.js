// Lists the prime numbers up to `n` (1000 if it is not given), by the sieve of Eratosthenes.
function primesUpTo(n) {
  const composite = new Uint8Array(n + 1);
  const primes = [];
  for (let candidate = 2; candidate <= n; candidate++) {
    if (composite[candidate]) continue;
    primes.push(candidate);
    for (let multiple = candidate * candidate; multiple <= n; multiple += candidate) composite[multiple] = 1;
  }
  return primes;
}

exports.handler = (params, context) => {
  const primes = primesUpTo(Number(params.n ?? 1000));
  return { count: primes.length, primes };
};
