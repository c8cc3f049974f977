'use strict';
// Frames: what a node and a worker say to each other, on the sandbox's Unix socket and on a connection to the executor of
// a container image that was upgraded.
//
// A frame is a 16-byte header (u32 payload length, u8 type, u8 flags, u16 zero, u64 call id, little endian) and payload:
//
//   1 call          u32 length of the context, the context (JSON object), the params (JSON object); flag 1: capture
//   2 ready         {"Runtime"}: the handler is loaded
//   3 result        u32 length of the output, the output, the result as JSON text; flag 1: the output was cut
//   4 failure       the same, with {"Kind": "raised" | "output", "Message", "Traceback"}
//   5 start_failed  {"Message", "Traceback"} instead of ready; nothing follows
//   6 load          {"Handler", "AppDir", ...}: what to become
//
// A connection carries one call at a time: the node sends the next one after the answer.

const { Call, explain } = require('./worker_call.js');

const HEADER = 16;
const CALL = 1, READY = 2, RESULT = 3, FAILURE = 4, START_FAILED = 5, LOAD = 6;
const CAPTURE = 1, CUT = 1;
const MAX_LENGTH = 0xffffffff;

const { parse, stringify } = JSON; // before any code of the function's can replace it

function frame(type, flags, id, ...parts) {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const header = Buffer.alloc(HEADER);
  header.writeUInt32LE(size, 0);
  header[4] = type;
  header[5] = flags;
  header.writeBigUInt64LE(id, 8);
  return Buffer.concat([header, ...parts], HEADER + size);
}

// One connection that carries frames.
class FrameConnection {
  // `settings`, the same for all connections of a process:
  //   limits     { output, result }: bytes of one call
  //   contextOf  makes a handler's context of the fields that came
  //   load       called with the connection and the object of its load, which may be any object; then one of `answerCalls`
  //              and `refuse` is to be called
  //   lost       called with the connection when it breaks or brings what no node sends
  //   frameLimit, patienceMs  optional: bytes of a payload; how long the peer may let a frame that has begun, or an
  //              answer, wait
  constructor(socket, settings) {
    this.socket = socket;
    this.settings = settings;
    this.handler = null;
    this.busy = false; // with a load or a call: nothing may come
    this.ended = false;
    this.told = false; // what to load
    this.chunks = [];
    this.have = 0;
    this.need = HEADER;
    this.frameLimit = settings.frameLimit ?? MAX_LENGTH;
    socket.on('data', (chunk) => this.take(chunk));
    socket.on('end', () => this.end());
    socket.on('error', () => settings.lost(this));
    if (settings.patienceMs === undefined) return;
    socket.on('timeout', () => settings.lost(this));
    socket.on('drain', () => socket.setTimeout(0));
  }

  // Most frames come whole in one chunk.
  take(chunk) {
    if (this.busy) return this.settings.lost(this);
    this.chunks.push(chunk);
    this.have += chunk.length;
    if (this.have >= this.need) {
      const data = this.chunks.length === 1 ? chunk : Buffer.concat(this.chunks);
      const length = data.readUInt32LE(0);
      this.need = HEADER + length;
      if (length > this.frameLimit || this.have > this.need) return this.settings.lost(this);
      if (this.have === this.need) return this.receive(data);
      this.chunks = [data];
    }
    if (this.settings.patienceMs !== undefined) this.socket.setTimeout(this.settings.patienceMs);
  }

  receive(data) {
    if (this.socket.timeout) this.socket.setTimeout(0);
    this.chunks = [];
    this.have = 0;
    this.need = HEADER;
    if (data[4] === CALL && this.handler !== null && data.length >= HEADER + 4) return this.startCall(data);
    if (data[4] !== LOAD || this.told) return this.settings.lost(this);
    let what = null;
    try {
      what = parse(data.utf8Slice(HEADER, data.length));
    } catch {
      // refused below
    }
    if (what === null || typeof what !== 'object') return this.settings.lost(this);
    this.told = this.busy = true;
    this.settings.load(this, what);
  }

  startCall(data) {
    this.busy = true;
    const { limits, contextOf } = this.settings;
    const id = data.readBigUInt64LE(8);
    const call = new Call(limits, (data[5] & CAPTURE) !== 0, (failed, body, output, cut) => {
      const length = Buffer.allocUnsafe(4);
      length.writeUInt32LE(output.length);
      this.busy = false;
      this.send(frame(failed ? FAILURE : RESULT, cut ? CUT : 0, id, length, output, body));
      if (this.ended) this.socket.end();
    });
    const begin = HEADER + 4;
    const middle = begin + data.readUInt32LE(HEADER);
    call.run(this.handler, () => {
      const context = contextOf(parse(data.utf8Slice(begin, middle)));
      return [parse(data.utf8Slice(middle, data.length)), context];
    });
  }

  send(bytes) {
    if (!this.socket.write(bytes) && this.settings.patienceMs !== undefined) this.socket.setTimeout(this.settings.patienceMs);
  }

  // The peer says nothing more. It still gets the answer that it waits for.
  end() {
    if (this.have > 0) return this.settings.lost(this);
    this.ended = true;
    if (!this.busy) this.socket.end();
  }

  sayReady() {
    this.send(frame(READY, 0, 0n, Buffer.from(stringify({ Runtime: `Node.js ${process.versions.node}` }))));
  }

  // From now on calls are made of `handler`.
  answerCalls(handler) {
    this.handler = handler;
    this.busy = false;
    this.sayReady();
    if (this.ended) this.socket.end();
  }

  // Tells why the handler did not load, ends the connection and then calls `then`.
  refuse(error, then) {
    const [Message, Traceback] = explain(error);
    this.socket.end(frame(START_FAILED, 0, 0n, Buffer.from(stringify({ Message, Traceback }))), then);
  }
}

module.exports = { FrameConnection };
