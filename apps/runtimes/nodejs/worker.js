'use strict';
// The Node.js worker: loads a function's handler and answers its calls over a listening Unix socket.
//
//   node worker.js <fd of the listening Unix stream socket>
//
// Started inside its sandbox, unspecialised, with /dev/null as standard input, output and error. The node opens one
// connection per slot, sends one call at a time on each and reads one answer, in frames (worker_frames.js); calls of
// several connections interleave. Ready is the first frame on every connection, once the handler is loaded; on the first
// one also before the load, when the worker stands by for it. The load is {"Handler", "AppDir", "OutputLimit",
// "ResultLimit"} and comes once in a worker's life. After start_failed the worker exits with status 1.
//
// Nothing here defends the worker against the code it runs: the two share a process. What the node believes of an
// answer, and what it does about a broken one, is the node's matter. No packages; Node.js 18 to 22.

const net = require('node:net');

const { Context, install, load } = require('./worker_call.js');
const { FrameConnection } = require('./worker_frames.js');

const EXIT_START_FAILED = 1;
const EXIT_CHANNEL_LOST = 74; // EX_IOERR: the socket was closed or broken from inside

const exit = process.exit.bind(process); // before any code of the function's can replace it

const limits = { output: 1 << 20, result: 6 << 20 };
const settings = { limits, contextOf: (told) => new Context(told), load: become, lost: () => exit(EXIT_CHANNEL_LOST) };
const waiting = []; // connections that came before the handler was loaded
let handler = null;
let loading = false;

function serve(socket) {
  const connection = new FrameConnection(socket, settings);
  if (handler !== null) return connection.answerCalls(handler);
  // The first to connect to an unspecialised worker learns at once that it stands by.
  if (!loading && waiting.length === 0) connection.sayReady();
  waiting.push(connection);
}

async function become(connection, { Handler, AppDir = '/app', OutputLimit, ResultLimit }) {
  if (loading) exit(EXIT_CHANNEL_LOST);
  loading = true;
  limits.output = OutputLimit ?? limits.output;
  limits.result = ResultLimit ?? limits.result;
  try {
    handler = await load(Handler, AppDir);
  } catch (error) {
    return connection.refuse(error, () => exit(EXIT_START_FAILED));
  }
  for (const one of waiting.splice(0)) one.answerCalls(handler);
}

install();
net.createServer(serve).listen({ fd: Number(process.argv[2]) });
