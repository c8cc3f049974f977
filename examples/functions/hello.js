// Greets, and shows the parameters that it was called with.
exports.handler = (params, context) => {
  console.log('Executing function....');
  return `Hello, Serverledge!\nParams: ${JSON.stringify(params)}`;
};
