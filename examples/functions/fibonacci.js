// The `n`-th Fibonacci number. Past 2^53 a number of JavaScript is no longer exact, and JSON knows no BigInt: the result
// is text then.
exports.handler = (params, context) => {
  let [a, b] = [0n, 1n];
  for (let i = 0; i < Number(params.n); i++) [a, b] = [b, a + b];
  return { result: a <= Number.MAX_SAFE_INTEGER ? Number(a) : a.toString() };
};
