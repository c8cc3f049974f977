'use strict';
// The Node.js worker's second transport: HTTP/1.1 on a TCP port, as the executor of a container image.
//
//   POST /invoke  {"Handler", "HandlerDir", "Params", "ReturnOutput"}, optional {"Context"}: runs the handler
//                 -> 200 {"Success", "Result", "Output"}; {"Success": false, "Output", "Error": {"Kind", "Message",
//                 "Traceback"}} when it failed
//   POST /load    {"Handler", "HandlerDir"}: only loads it -> 200 {"Success"}, with "Error" when it does not load
//   GET  /frames  with Connection: Upgrade and Upgrade: serverledge-frames
//                 -> 101, and from then on frames (worker_frames.js): the peer loads a handler and makes calls of it
//
// A header Serverledge-Call of letters and digits comes back in the answer: it tells that from one made up earlier. What
// is no such request gets a 4xx with the same "Error", of kind "protocol". docs/images.md says it all, and names the
// environment variables that set the limits. Calls of several connections interleave. No packages; Node.js 18 to 22.

const http = require('node:http');

const { Call, Context, explain, install, load, report } = require('./worker_call.js');
const { FrameConnection } = require('./worker_frames.js');

const MAX_CONNECTIONS = 256;
const MAX_HEAD = 16 * 1024;
const HEAD_PATIENCE_MS = 10_000;
const REQUEST_PATIENCE_MS = 120_000;
const FRAME_PATIENCE_MS = 60_000;
const FRAMES = 'serverledge-frames';

// Taken before any code of the function's can replace them.
const { parse, stringify } = JSON;
const exit = process.exit.bind(process);
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

// A request that is answered with an error of HTTP, and with further header fields if there are.
class Refused extends Error {
  constructor(status, message, fields = {}) {
    super(message);
    this.status = status;
    this.fields = fields;
  }
}

function failed(failure, output) {
  return `{"Success":false,"Output":${stringify(output)},"Error":${failure}}`;
}

function refusal(error) {
  return failed(report('protocol', error.message, ''), '');
}

function answer(response, status, body) {
  const bytes = Buffer.from(body);
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': bytes.length });
  response.end(bytes);
}

// ---- requests -------------------------------------------------------------------------------------------------------

// Calls `whole` with the body once all of it is there, or `refuse`.
function collect(request, whole, refuse) {
  const chunks = [];
  let size = 0;
  request.on('data', (chunk) => {
    size += chunk.length;
    if (size <= limits.body) chunks.push(chunk);
    else if (chunks.length > 0) chunks.length = 0;
  });
  request.on('end', () => {
    if (size > limits.body) refuse(new Refused(413, `the body is over the limit of ${limits.body} bytes`));
    else whole(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
  });
}

function parseBody(body) {
  let fields;
  try {
    fields = parse(utf8.decode(body));
  } catch (error) {
    throw new Refused(400, error instanceof SyntaxError ? `the body is not JSON: ${error.message}` : 'the body is not UTF-8');
  }
  if (fields === null || typeof fields !== 'object' || Array.isArray(fields)) {
    throw new Refused(400, 'the body must be a JSON object');
  }
  return fields;
}

function text(fields, key, otherwise) {
  const value = (fields[key] === '' ? null : fields[key]) ?? otherwise;
  if (typeof value !== 'string') throw new Refused(400, `the request needs a ${key}, a string`);
  return value;
}

function contextOf(fields) {
  const told = fields.Context ?? {};
  if (typeof told !== 'object' || Array.isArray(told) || !['undefined', 'number'].includes(typeof told.Deadline)) {
    throw new Refused(400, 'Context must be an object, its Deadline a number of seconds');
  }
  return { ...commonContext, ...told };
}

async function serve(request, response) {
  const id = request.headers['serverledge-call'];
  if (id !== undefined && /^[0-9A-Za-z]{1,64}$/.test(id)) response.setHeader('Serverledge-Call', id);
  try {
    const body = await new Promise((whole, refuse) => collect(request, whole, refuse));
    const { url, method } = request;
    if (url === '/frames') throw refuseUpgrade(request, response);
    if (url !== '/invoke' && url !== '/load') throw new Refused(404, 'there is only /invoke, /load and /frames');
    if (method !== 'POST') throw new Refused(405, `${url} takes POST`, { Allow: 'POST' });
    const fields = parseBody(body);
    const name = text(fields, 'Handler', null);
    const folder = text(fields, 'HandlerDir', '/app');
    const context = contextOf(fields);
    let handler;
    try {
      handler = await find(name, folder);
    } catch (error) {
      const [message, traceback] = explain(error);
      return answer(response, 200, failed(report('start', message, traceback), ''));
    }
    if (url === '/load') return answer(response, 200, '{"Success":true}');
    startCall(response, handler, fields, context);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    for (const [name, value] of Object.entries(error.fields)) response.setHeader(name, value);
    answer(response, error.status, refusal(error));
  }
}

function startCall(response, handler, fields, context) {
  const call = new Call(limits, fields.ReturnOutput === true, (isFailure, body, output, cut) => {
    let said = output.toString();
    if (cut) said += `\n[output cut at ${limits.output} bytes]\n`;
    const reply = isFailure ? failed(body, said) : `{"Success":true,"Result":${stringify(body.toString())},"Output":${stringify(said)}}`;
    answer(response, 200, reply);
  });
  call.run(handler, () => [fields.Params ?? {}, new Context(context)]);
}

// ---- handlers -------------------------------------------------------------------------------------------------------

const loaded = new Map();

// The function of a handler, loaded once; a load that failed is tried again.
function find(name, folder) {
  const key = `${folder}\0${name}`;
  let found = loaded.get(key);
  if (found === undefined) {
    found = load(name, folder);
    loaded.set(key, found);
    found.catch(() => loaded.delete(key));
  }
  return found;
}

// ---- frames ---------------------------------------------------------------------------------------------------------

// Why a request to /frames is not upgraded.
function refuseUpgrade(request, response) {
  if (request.method !== 'GET') return new Refused(405, '/frames takes GET', { Allow: 'GET' });
  const connection = `Upgrade, ${response.shouldKeepAlive ? 'keep-alive' : 'close'}`;
  return new Refused(426, `/frames needs Connection: Upgrade and Upgrade: ${FRAMES}, and takes no body`, { Upgrade: FRAMES, Connection: connection });
}

// What asks for an upgrade: to frames, or to something that is not spoken here and is then a request like any other.
function upgrade(request, socket, ahead) {
  const { method, url, httpVersion, headers } = request;
  const protocols = headers.upgrade.toLowerCase().split(',').map((word) => word.trim());
  const bare = (headers['content-length'] ?? '0') === '0' && headers['transfer-encoding'] === undefined;
  if (method !== 'GET' || url !== '/frames' || httpVersion !== '1.1' || !protocols.includes(FRAMES) || !bare) {
    return withoutUpgrade(request, socket, ahead);
  }
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${FRAMES}\r\n\r\n`);
  if (ahead.length > 0) socket.unshift(ahead);
  new FrameConnection(socket, frameSettings);
}

// Serves the request anew as if it asked for no upgrade: Node.js alone hands the bare connection over.
function withoutUpgrade(request, socket, ahead) {
  let head = `${request.method} ${request.url} HTTP/${request.httpVersion}\r\n`;
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const [name, value] = request.rawHeaders.slice(i, i + 2);
    if (name.toLowerCase() !== 'upgrade') head += `${name}: ${value}\r\n`;
  }
  socket.unshift(Buffer.concat([Buffer.from(`${head}\r\n`, 'latin1'), ahead]));
  server.emit('connection', socket);
}

async function loadFor(connection, { Handler, AppDir = '/app' }) {
  if (typeof Handler !== 'string' || typeof AppDir !== 'string') return connection.socket.destroy();
  let handler;
  try {
    handler = await find(Handler, AppDir);
  } catch (error) {
    return connection.refuse(error);
  }
  connection.answerCalls(handler);
}

// ---- start ----------------------------------------------------------------------------------------------------------

function complain(message) {
  process.stderr.write(`worker_http: ${message}\n`);
  exit(1);
}

function number(name, otherwise) {
  const said = process.env[name] ?? '';
  if (said === '') return otherwise;
  if (!/^[0-9]{1,15}$/.test(said)) complain(`the environment variable ${name} must be a number, not "${said}"`);
  return Number(said);
}

function readContext() {
  try {
    const context = parse(process.env.CONTEXT ?? '{}');
    if (context !== null && typeof context === 'object' && !Array.isArray(context)) return context;
  } catch {
    // said below
  }
  return complain('the environment variable CONTEXT must be a JSON object');
}

// What is not even HTTP, or does not come to its end.
function refuseBytes(error, socket) {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
  const status = { HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large', ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout' };
  const body = refusal({ message: `this is no HTTP request: ${error.message}` });
  socket.end(
    `HTTP/1.1 ${status[error.code] ?? '400 Bad Request'}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

const limits = {
  body: number('EXECUTOR_BODY_LIMIT', 64 << 20),
  output: number('EXECUTOR_OUTPUT_LIMIT', 1 << 20),
  result: number('EXECUTOR_RESULT_LIMIT', 6 << 20),
};
const commonContext = readContext();
const frameSettings = {
  limits,
  frameLimit: limits.body,
  patienceMs: FRAME_PATIENCE_MS,
  contextOf: (told) => new Context({ ...commonContext, ...told }),
  load: loadFor,
  lost: (connection) => connection.socket.destroy(),
};
const server = http.createServer({ noDelay: true, keepAlive: true, maxHeaderSize: MAX_HEAD, connectionsCheckingInterval: 1000 }, serve);
server.keepAliveTimeout = 0; // the node decides when a connection ends
server.headersTimeout = HEAD_PATIENCE_MS;
server.requestTimeout = REQUEST_PATIENCE_MS;
server.maxConnections = MAX_CONNECTIONS;
server.on('upgrade', upgrade);
server.on('clientError', refuseBytes);
server.on('error', (error) => complain(error.message));
server.listen(number('EXECUTOR_PORT', 8080), '0.0.0.0', 512, () => {
  process.stderr.write(`listening on port ${server.address().port}\n`);
  install();
});
