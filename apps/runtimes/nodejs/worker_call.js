'use strict';
// A function in this process: how its handler is found, and how a call of it becomes an answer. Knows no transport.

const fs = require('node:fs');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

const { MAX_MESSAGE, cut, describe, trace } = require('./worker_error.js');
const { Sink, capture, currentCall } = require('./worker_output.js');
const { NotJson, toJson } = require('./worker_result.js');

const { stringify } = JSON; // before any code of the function's can replace it

// ---- calls ----------------------------------------------------------------------------------------------------------

const running = new Set();

// One call. Its answer is given once: `answer(failed, body, output, cut)`, where `body` is the result or the report of
// the failure as JSON text, and `output` what it printed, all in bytes.
class Call {
  constructor(limits, captures, answer) {
    this.limits = limits;
    this.give = answer;
    this.sink = captures ? new Sink(limits.output) : null;
    this.over = false;
    running.add(this);
  }

  // Calls `handler` with what `args()` returns.
  run(handler, args) {
    currentCall.run(this, () => {
      try {
        const value = handler(...args());
        const then = value !== null && (typeof value === 'object' || typeof value === 'function') ? value.then : undefined;
        if (typeof then === 'function') settle(this, value);
        else this.succeed(value);
      } catch (error) {
        this.fail(error);
      }
    });
  }

  succeed(value) {
    if (this.over) return;
    let text;
    try {
      text = Buffer.from(toJson(value));
      if (text.length > this.limits.result) {
        throw new NotJson(`result: ${text.length} bytes of JSON are over the limit of ${this.limits.result}`);
      }
    } catch (error) {
      const said = error instanceof NotJson ? error.message : `result: encoding it threw ${describe(error)}`;
      return this.answer(true, report('output', cut(said, MAX_MESSAGE), ''));
    }
    this.answer(false, text);
  }

  fail(error) {
    if (!this.over) this.answer(true, report('raised', describe(error), trace(error)));
  }

  answer(failed, body) {
    this.over = true;
    running.delete(this);
    const output = this.sink === null ? Buffer.alloc(0) : this.sink.finish();
    this.give(failed, body, output, this.sink !== null && this.sink.cut);
  }
}

// The JSON text of a failure.
function report(kind, text, trace) {
  return Buffer.from(stringify({ Kind: kind, Message: wellFormed(text), Traceback: wellFormed(trace) }));
}

function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
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

// What nobody caught. It fails the call whose code it comes from, where Node.js alone would end the process and every
// other call with it; what comes from no call that can be told fails all that run, and what comes from one that has been
// answered is dropped.
function uncaught(error) {
  const call = currentCall.getStore();
  for (const victim of call === undefined ? [...running] : [call]) victim.fail(error);
}

// Readies the process for calls: what they print and what nobody catches goes to them.
function install() {
  capture(process.stdout);
  capture(process.stderr);
  process.on('uncaughtException', (error) => uncaught(error));
  process.on('unhandledRejection', (error) => uncaught(error));
}

// ---- handlers -------------------------------------------------------------------------------------------------------

// A handler that names nothing to call.
class BadHandler extends Error {}

// The function that `name` means in the folder. Throws what its module throws.
async function load(name, appDir) {
  process.chdir(appDir);
  return pick(name, await loadModule(find(appDir, name)));
}

// Why a handler did not load: message and traceback.
function explain(error) {
  const bad = error instanceof BadHandler;
  return [wellFormed(bad ? error.message : describe(error)), bad ? '' : wellFormed(trace(error))];
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

module.exports = { Call, Context, explain, install, load, report };
