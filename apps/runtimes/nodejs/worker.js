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
//   2 ready         {"Runtime"}: the first frame on every connection, once the handler is loaded
//   3 result        u32 length of the output, the output, the result as JSON text; flag 1: the output was cut
//   4 failure       the same, with {"Kind": "raised" | "output", "Message", "Traceback"}
//   5 start_failed  {"Message", "Traceback"} instead of ready; the worker then exits with status 1
//   6 load          {"Handler", "AppDir", "OutputLimit", "ResultLimit"}: what to become; the first frame on the first
//                   connection, once in a worker's life
//
// Nothing here defends the worker against the code it runs: the two share a process. What the node believes of an
// answer, and what it does about a broken one, is the node's matter. No packages; Node.js 18 to 22.

const { AsyncLocalStorage } = require('node:async_hooks');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const util = require('node:util');
const { pathToFileURL } = require('node:url');

const HEADER = 16;
const CALL = 1, READY = 2, RESULT = 3, FAILURE = 4, START_FAILED = 5, LOAD = 6;
const CAPTURE = 1, CUT = 1;
const MAX_DEPTH = 512; // of a result; the node refuses what is deeper
const MAX_MESSAGE = 64 * 1024;
const MAX_TRACEBACK = 256 * 1024;
const EXIT_START_FAILED = 1;
const EXIT_CHANNEL_LOST = 74; // EX_IOERR: the socket was closed or broken from inside

// Taken before any code of the function's can replace them.
const { parse, stringify } = JSON;
const exit = process.exit.bind(process);
const types = util.types;

// ---- what the function prints ---------------------------------------------------------------------------------------

const currentCall = new AsyncLocalStorage();

// The output of one call, up to a limit.
class Sink {
  constructor(limit) {
    this.limit = limit;
    this.size = 0;
    this.chunks = [];
    this.cut = false;
    this.open = true;
  }

  write(chunk, encoding) {
    if (!this.open) return;
    const room = this.limit - this.size;
    if (room <= 0) {
      this.cut = this.cut || chunk.length > 0;
      return;
    }
    let bytes;
    if (typeof chunk === 'string') {
      // Text has at least as many bytes as UTF-16 units, so more than room + 1 of them need not be encoded.
      const utf8 = encoding === undefined || encoding === 'utf8' || encoding === 'utf-8';
      bytes = utf8 ? Buffer.from(chunk.length > room ? chunk.slice(0, room + 1) : chunk) : Buffer.from(chunk, encoding);
    } else {
      bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      bytes = Buffer.from(bytes.length > room ? bytes.subarray(0, room + 1) : bytes); // a copy: theirs may change
    }
    if (bytes.length > room) {
      this.cut = true;
      bytes = bytes.subarray(0, room);
    }
    this.size += bytes.length;
    this.chunks.push(bytes);
  }

  // The bytes so far; what is written later is dropped.
  finish() {
    this.open = false;
    const data = Buffer.concat(this.chunks);
    this.chunks = [];
    return this.cut ? wholeCharacters(data) : data;
  }
}

// `data` without a UTF-8 sequence that was cut at its end.
function wholeCharacters(data) {
  for (let back = 1; back <= Math.min(4, data.length); back++) {
    const byte = data[data.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    const needed = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return back >= needed ? data : data.subarray(0, data.length - back);
  }
  return data;
}

// Sends what is written to `stream` to the call that the writing code belongs to, or nowhere. `console` writes there.
function capture(stream) {
  stream.write = (chunk, encoding, callback) => {
    if (typeof encoding === 'function') [callback, encoding] = [encoding, undefined];
    if (typeof chunk !== 'string' && !ArrayBuffer.isView(chunk)) {
      throw new TypeError('The "chunk" argument must be of type string or an instance of Buffer or Uint8Array.');
    }
    const call = currentCall.getStore();
    if (call !== undefined && call.sink !== null) call.sink.write(chunk, encoding);
    if (typeof callback === 'function') process.nextTick(callback);
    return true;
  };
}

// ---- what the function returns --------------------------------------------------------------------------------------

// A result that is not JSON; the message says what and where.
class NotJson extends Error {}

// The JSON text of a result. JSON.stringify drops or rewrites silently what it cannot say; the walk before it refuses
// that. Members that are undefined are left out, toJSON is honoured (a Date), as everywhere in JavaScript.
function toJson(value) {
  if (value === undefined) return 'null';
  check(value, 'result', []);
  const text = stringify(value);
  if (text === undefined) throw new NotJson('result: toJSON gave undefined, which is not JSON');
  // Only a lone surrogate is written as an escape of this form; the walk finds the string.
  if (/\\ud[89a-f]/.test(text)) findLoneSurrogate(value, 'result', 0);
  return text;
}

function check(value, where, around) {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return;
    case 'number':
      if (!Number.isFinite(value)) throw new NotJson(`${where}: ${value} is not JSON`);
      return;
    case 'object':
      if (value !== null) checkObject(value, where, around);
      return;
    case 'bigint':
      throw new NotJson(`${where}: BigInt is not JSON`);
    default: // undefined, function, symbol
      throw new NotJson(`${where}: ${typeof value} is not JSON`);
  }
}

function checkObject(value, where, around) {
  const array = Array.isArray(value);
  if (!array) {
    const prototype = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) checkClass(value, where);
  }
  if (around.includes(value)) throw new NotJson(`${where}: an object that contains itself is not JSON`);
  if (around.length >= MAX_DEPTH) throw new NotJson(`result: nested deeper than ${MAX_DEPTH} levels`);
  around.push(value);
  if (typeof value.toJSON === 'function') {
    const said = value.toJSON('');
    if (said !== undefined) check(said, where, around);
  } else if (array) {
    for (let index = 0; index < value.length; index++) check(value[index], `${where}[${index}]`, around);
  } else if (!types.isBoxedPrimitive(value)) {
    for (const key of Object.keys(value)) {
      const item = value[key];
      if (item !== undefined) check(item, member(where, key), around);
    }
  }
  around.pop();
}

// Refuses objects whose content JSON.stringify would lose.
function checkClass(value, where) {
  const lost =
    types.isMap(value) || types.isSet(value) || types.isWeakMap(value) || types.isWeakSet(value) ||
    types.isPromise(value) || types.isRegExp(value) || types.isNativeError(value) || types.isAnyArrayBuffer(value) ||
    types.isGeneratorObject(value) || ArrayBuffer.isView(value) || typeof value.then === 'function' ||
    types.isSymbolObject(value) || types.isBigIntObject(value) || value instanceof Error;
  if (lost) throw new NotJson(`${where}: ${className(value)} is not JSON`);
  if (types.isDate(value) && Number.isNaN(Number(value))) throw new NotJson(`${where}: Invalid Date is not JSON`);
  if (types.isNumberObject(value) && !Number.isFinite(Number(value))) {
    throw new NotJson(`${where}: ${Number(value)} is not JSON`);
  }
}

function className(value) {
  const name = value.constructor && value.constructor.name;
  return typeof name === 'string' && name !== '' ? name : 'object';
}

function member(where, key) {
  return /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(key) ? `${where}.${key}` : `${where}[${stringify(key)}]`;
}

function findLoneSurrogate(value, where, depth) {
  if (depth > MAX_DEPTH) return;
  if (value !== null && typeof value === 'object' && typeof value.toJSON === 'function') value = value.toJSON('');
  if (typeof value === 'string' || types.isStringObject(value)) {
    if (loneSurrogate(String(value))) throw new NotJson(`${where}: a string with a lone surrogate is not JSON`);
  } else if (Array.isArray(value)) {
    value.forEach((item, index) => findLoneSurrogate(item, `${where}[${index}]`, depth + 1));
  } else if (value !== null && typeof value === 'object') {
    for (const key of Object.keys(value)) {
      if (loneSurrogate(key)) throw new NotJson(`${where}: a key with a lone surrogate (${stringify(key)}) is not JSON`);
      findLoneSurrogate(value[key], member(where, key), depth + 1);
    }
  }
}

function loneSurrogate(text) {
  return /\p{Surrogate}/u.test(text);
}

// ---- what the function throws ---------------------------------------------------------------------------------------

function cut(text, limit) {
  return text.length <= limit ? text : `${text.slice(0, limit)}... (cut)`;
}

// "TypeError: x is not a function"; what is thrown need not be an Error.
function message(error) {
  let text;
  try {
    text = error instanceof Error || types.isNativeError(error) ? `${error.name}: ${error.message}` : `thrown: ${util.inspect(error)}`;
  } catch {
    text = 'Error: <message could not be read>';
  }
  return cut(text, MAX_MESSAGE);
}

// The error as Node.js prints it (stack, properties, causes), without our frames and those below them.
function traceback(error) {
  let text;
  try {
    if (!(error instanceof Error) && !types.isNativeError(error)) return '';
    text = util.inspect(error);
  } catch {
    return '';
  }
  const lines = text.split('\n').filter((line) => !/^\s+at /.test(line) || !(line.includes(__filename) || line.includes('node:')));
  return cut(lines.join('\n') + '\n', MAX_TRACEBACK);
}

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
      const said = error instanceof NotJson ? error.message : `result: encoding it threw ${message(error)}`;
      return this.report('output', cut(said, MAX_MESSAGE), '');
    }
    this.answer(RESULT, text);
  }

  fail(error) {
    if (!this.over) this.report('raised', message(error), traceback(error));
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
      if (value !== null && (typeof value === 'object' || typeof value === 'function') && typeof value.then === 'function') {
        Promise.resolve(value).then((result) => call.succeed(result), (error) => call.fail(error));
      } else {
        call.succeed(value);
      }
    } catch (error) {
      call.fail(error);
    }
  });
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
  if (handler !== null) socket.write(ready());
  else waiting.push(socket);
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
    Message: wellFormed(bad ? error.message : message(error)),
    Traceback: bad ? '' : wellFormed(traceback(error)),
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
