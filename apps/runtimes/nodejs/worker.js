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

const net = require('node:net');

const { Call, Context, explain, install, load } = require('./worker_call.js');

const HEADER = 16;
const CALL = 1, READY = 2, RESULT = 3, FAILURE = 4, START_FAILED = 5, LOAD = 6;
const CAPTURE = 1, CUT = 1;
const EXIT_START_FAILED = 1;
const EXIT_CHANNEL_LOST = 74; // EX_IOERR: the socket was closed or broken from inside

// Taken before any code of the function's can replace them.
const { parse, stringify } = JSON;
const exit = process.exit.bind(process);

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

function startCall(socket, flags, id, payload) {
  const middle = 4 + payload.readUInt32LE(0);
  const call = new Call(limits, (flags & CAPTURE) !== 0, (failed, body, output, cut) => {
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32LE(output.length);
    socket.write(frame(failed ? FAILURE : RESULT, cut ? CUT : 0, id, length, output, body));
  });
  call.run(handler, () => {
    const context = new Context(parse(payload.utf8Slice(4, middle)));
    return [parse(payload.utf8Slice(middle, payload.length)), context];
  });
}

function receive(socket, type, flags, id, payload) {
  if (type === CALL && handler !== null && payload.length >= 4) return startCall(socket, flags, id, payload);
  if (type === LOAD && !loading) return void become(socket, parse(payload.utf8Slice(0, payload.length)));
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

async function become(socket, { Handler, AppDir = '/app', OutputLimit, ResultLimit }) {
  loading = true;
  limits.output = OutputLimit ?? limits.output;
  limits.result = ResultLimit ?? limits.result;
  try {
    handler = await load(Handler, AppDir);
  } catch (error) {
    return refuse(socket, error);
  }
  for (const connection of waiting.splice(0)) connection.write(ready());
}

function refuse(socket, error) {
  const [Message, Traceback] = explain(error);
  socket.end(frame(START_FAILED, 0, 0n, Buffer.from(stringify({ Message, Traceback }))), () => exit(EXIT_START_FAILED));
}

install();
net.createServer(serve).listen({ fd: Number(process.argv[2]) });
