'use strict';
// What a function threw, in words.

const { inspect, types } = require('node:util');

const MAX_MESSAGE = 64 * 1024;
const MAX_TRACEBACK = 256 * 1024;

function cut(text, limit) {
  return text.length <= limit ? text : `${text.slice(0, limit)}... (cut)`;
}

function isError(value) {
  return value instanceof Error || types.isNativeError(value);
}

// "TypeError: x is not a function"; what is thrown need not be an Error.
function describe(error) {
  let text;
  try {
    text = isError(error) ? String(error.message) : `thrown: ${inspect(error)}`;
    if (isError(error)) text = text === '' ? String(error.name) : `${error.name}: ${text}`;
  } catch {
    text = 'Error: <message could not be read>';
  }
  return cut(text, MAX_MESSAGE);
}

// The error as Node.js prints it (stack, properties, causes), without the frames that are ours and those below them.
function trace(error) {
  let text;
  try {
    if (!isError(error)) return '';
    text = inspect(error);
  } catch {
    return '';
  }
  const kept = [];
  let frames = [];
  const endStack = () => {
    const rest = frames.length > 0 && frames.at(-1).endsWith(' {') ? ' {' : ''; // properties follow
    const ours = frames.findIndex((frame) => frame.includes(__dirname) || !/^\s+at /.test(frame));
    if (ours >= 0) frames.length = ours;
    while (frames.length > 0 && /\bnode:/.test(frames.at(-1))) frames.pop();
    kept.push(...frames);
    if (rest !== '' && !kept.at(-1).endsWith(rest)) kept.push(kept.pop() + rest);
    frames = [];
  };
  for (const line of text.split('\n')) {
    if (/^\s+(at |\.\.\. \d+ lines matching cause)/.test(line)) {
      frames.push(line);
    } else {
      endStack();
      kept.push(line);
    }
  }
  endStack();
  return cut(`${kept.join('\n')}\n`, MAX_TRACEBACK);
}

module.exports = { MAX_MESSAGE, cut, describe, trace };
