'use strict';
// The Node.js worker: loads a function's handler and answers its calls over a listening Unix socket.
//
//   node worker.js <fd of the listening Unix stream socket>
//
// Started inside its sandbox, unspecialised, with /dev/null as standard input, output and error. The node opens one
// connection per slot, sends one call at a time on each and reads one answer; calls of several connections interleave.
// Frames are a 16-byte header (u32 payload length, u8 type, u8 flags, u16 zero, u64 call id, little endian) and payload:
//
//   1 call          u32 length of the context, the context (JSON object), the params (JSON object); flag 1: capture
//   2 ready         {"Runtime"}: the first frame on every connection, once the handler is loaded; on the first one also
//                   before, when the worker stands by for a load
//   3 result        u32 length of the output, the output, the result as JSON text; flag 1: the output was cut
//   4 failure       the same, with {"Kind": "raised" | "output", "Message", "Traceback"}
//   5 start_failed  {"Message", "Traceback"} instead of ready; the worker then exits with status 1
//   6 load          {"Handler", "AppDir", "OutputLimit", "ResultLimit"}: what to become; the first frame on the first
//                   connection, once in a worker's life
//
// Nothing here defends the worker against the code it runs: the two share a process. What the node believes of an
// answer, and what it does about a broken one, is the node's matter. No packages; Node.js 18 to 22.

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

const { MAX_MESSAGE, cut, describe, trace } = require('./worker_error.js');
const { Sink, capture, currentCall } = require('./worker_output.js');
const { NotJson, toJson } = require('./worker_result.js');

const HEADER = 16;
const CALL = 1, READY = 2, RESULT = 3, FAILURE = 4, START_FAILED = 5, LOAD = 6;
const CAPTURE = 1, CUT = 1;
const EXIT_START_FAILED = 1;
const EXIT_CHANNEL_LOST = 74; // EX_IOERR: the socket was closed or broken from inside

// Taken before any code of the function's can replace them.
const { parse, stringify } = JSON;
const exit = process.exit.bind(process);

// ---- calls ----------------------------------------------------------------------------------------------------------

const running = new Set();

// One call, from its frame to its answer, which is given once.
class Call {
  constructor(socket, id, sink) {
    this.socket = socket;
    this.id = id;
    this.sink = sink;
    this.over = false;
    running.add(this);
  }

  succeed(value) {
    if (this.over) return;
    let text;
    try {
      text = Buffer.from(toJson(value));
      if (text.length > limits.result) {
        throw new NotJson(`result: ${text.length} bytes of JSON are over the limit of ${limits.result}`);
      }
    } catch (error) {
      const said = error instanceof NotJson ? error.message : `result: encoding it threw ${describe(error)}`;
      return this.report('output', cut(said, MAX_MESSAGE), '');
    }
    this.answer(RESULT, text);
  }

  fail(error) {
    if (!this.over) this.report('raised', describe(error), trace(error));
  }

  report(kind, text, trace) {
    this.answer(FAILURE, Buffer.from(stringify({ Kind: kind, Message: wellFormed(text), Traceback: wellFormed(trace) })));
  }

  answer(type, body) {
    this.over = true;
    running.delete(this);
    const output = this.sink === null ? Buffer.alloc(0) : this.sink.finish();
    const flags = this.sink !== null && this.sink.cut ? CUT : 0;
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32LE(output.length);
    this.socket.write(frame(type, flags, this.id, length, output, body));
  }
}

function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}

// What a handler is told of its call; RemainingSeconds is worked out whenever it is read (null: no deadline).
class Context {
  #deadline;

  constructor(fields) {
    const { Deadline, ...told } = fields;
    this.#deadline = Deadline === undefined ? null : performance.now() + Deadline * 1000;
    Object.assign(this, told);
    const remaining = () => (this.#deadline === null ? null : Math.max(0, (this.#deadline - performance.now()) / 1000));
    Object.defineProperty(this, 'RemainingSeconds', { enumerable: true, get: remaining });
  }
}

function startCall(socket, flags, id, payload) {
  const middle = 4 + payload.readUInt32LE(0);
  const call = new Call(socket, id, flags & CAPTURE ? new Sink(limits.output) : null);
  currentCall.run(call, () => {
    try {
      const context = new Context(parse(payload.utf8Slice(4, middle)));
      const value = handler(parse(payload.utf8Slice(middle, payload.length)), context);
      const then = value !== null && (typeof value === 'object' || typeof value === 'function') ? value.then : undefined;
      if (typeof then === 'function') settle(call, value);
      else call.succeed(value);
    } catch (error) {
      call.fail(error);
    }
  });
}

async function settle(call, promise) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    return call.fail(error);
  }
  call.succeed(value);
}

// What nobody caught. It fails the call whose code it comes from, where Node.js alone would end the process and every
// other call with it; what comes from no call that can be told fails all that run, and what comes from one that has been
// answered is dropped.
function uncaught(error) {
  const call = currentCall.getStore();
  for (const victim of call === undefined ? [...running] : [call]) victim.fail(error);
}

// ---- frames ---------------------------------------------------------------------------------------------------------

function frame(type, flags, id, ...parts) {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const header = Buffer.alloc(HEADER);
  header.writeUInt32LE(size, 0);
  header[4] = type;
  header[5] = flags;
  header.writeBigUInt64LE(id, 8);
  return Buffer.concat([header, ...parts], HEADER + size);
}

// Reads the frames of one connection. Most come whole in one chunk.
function serve(socket) {
  let chunks = [];
  let have = 0;
  let need = HEADER;
  socket.on('data', (chunk) => {
    chunks.push(chunk);
    have += chunk.length;
    while (have >= need) {
      const data = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
      chunks = [data];
      need = HEADER + data.readUInt32LE(0);
      if (have < need) return;
      const rest = data.subarray(need);
      chunks = rest.length > 0 ? [rest] : [];
      have = rest.length;
      const whole = data.subarray(HEADER, need);
      need = HEADER;
      receive(socket, data[4], data[5], data.readBigUInt64LE(8), whole);
    }
  });
  socket.on('error', () => exit(EXIT_CHANNEL_LOST));
  // The first to connect to an unspecialised worker learns at once that it stands by.
  if (handler !== null || (!loading && waiting.length === 0)) socket.write(ready());
  if (handler === null) waiting.push(socket);
}

function receive(socket, type, flags, id, payload) {
  if (type === CALL && handler !== null && payload.length >= 4) return startCall(socket, flags, id, payload);
  if (type === LOAD && !loading) return void load(socket, parse(payload.utf8Slice(0, payload.length)));
  exit(EXIT_CHANNEL_LOST);
}

function ready() {
  return frame(READY, 0, 0n, Buffer.from(stringify({ Runtime: `Node.js ${process.versions.node}` })));
}

// ---- start ----------------------------------------------------------------------------------------------------------

const limits = { output: 1 << 20, result: 6 << 20 };
const waiting = []; // connections that came before the handler was loaded
let handler = null;
let loading = false;

// A handler that names nothing to call.
class BadHandler extends Error {}

async function load(socket, { Handler, AppDir = '/app', OutputLimit, ResultLimit }) {
  loading = true;
  limits.output = OutputLimit ?? limits.output;
  limits.result = ResultLimit ?? limits.result;
  try {
    process.chdir(AppDir);
    handler = pick(Handler, await loadModule(find(AppDir, Handler)));
  } catch (error) {
    return refuse(socket, error);
  }
  for (const connection of waiting.splice(0)) connection.write(ready());
}

function refuse(socket, error) {
  const bad = error instanceof BadHandler;
  const report = {
    Message: wellFormed(bad ? error.message : describe(error)),
    Traceback: bad ? '' : wellFormed(trace(error)),
  };
  socket.end(frame(START_FAILED, 0, 0n, Buffer.from(stringify(report))), () => exit(EXIT_START_FAILED));
}

// The file that `name` means: as `require` finds it, and .mjs and .cjs too.
function find(appDir, name) {
  const base = path.resolve(appDir, name);
  try {
    return require.resolve(base);
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error;
  }
  const found = ['.mjs', '.cjs', '/index.mjs', '/index.cjs'].map((ending) => base + ending).find((file) => fs.existsSync(file));
  if (found === undefined) throw new BadHandler(`handler "${name}" names no module: there is no ${name}.js, .mjs or .cjs`);
  return found;
}

async function loadModule(file) {
  if (!file.endsWith('.mjs')) {
    try {
      return require(file);
    } catch (error) {
      if (error === null || typeof error !== 'object' || !['ERR_REQUIRE_ESM', 'ERR_REQUIRE_ASYNC_MODULE'].includes(error.code)) throw error;
    }
  }
  return import(pathToFileURL(file).href);
}

// The function of a module: the module itself, its export `handler`, or its default export (or that one's `handler`).
function pick(name, module) {
  const candidates = [module, module?.handler, module?.default, module?.default?.handler];
  const found = candidates.find((candidate) => typeof candidate === 'function');
  if (found === undefined) {
    throw new BadHandler(`handler "${name}" exports no function: expected module.exports, exports.handler or a default export`);
  }
  return found;
}

capture(process.stdout);
capture(process.stderr);
process.on('uncaughtException', (error) => uncaught(error));
process.on('unhandledRejection', (error) => uncaught(error));
net.createServer(serve).listen({ fd: Number(process.argv[2]) });
