// Tells whether `n` is a prime number, by trial division.
function isPrime(n) {
  for (let divisor = 2; divisor * divisor <= n; divisor++) {
    if (n % divisor === 0) return false;
  }
  return n >= 2;
}

exports.handler = (params, context) => {
  const n = Number(params.n);
  return { n, prime: isPrime(n) };
};
