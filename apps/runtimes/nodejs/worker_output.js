'use strict';
// What a function prints, per call.

const { AsyncLocalStorage } = require('node:async_hooks');

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

module.exports = { Sink, capture, currentCall };
