// Adds one to `n`. The command line sends text, programs may send numbers: Number() takes both.
exports.handler = (params, context) => ({ result: Number(params.n) + 1 });
