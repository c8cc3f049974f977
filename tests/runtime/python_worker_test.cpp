#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "worker_process.hpp"

using namespace serverledge;
using Catch::Contains;
using Catch::StartsWith;
using test::expression;
using test::WorkerProcess;

namespace {

std::unique_ptr<WorkerProcess> python_worker(const std::string& code) {
  return WorkerProcess::python({.files = {{"f.py", code}}, .handler = "f.handler"});
}

// A handler that returns what a Python expression in the params gives.
std::unique_ptr<WorkerProcess> python_evaluator() {
  return python_worker(
      "import collections, datetime, decimal, enum, math\n"
      "class Own:\n    pass\n"
      "class Number(enum.IntEnum):\n    ONE = 1\n"
      "def handler(params, context):\n    return eval(params['e'])\n");
}

}  // namespace

TEST_CASE("a Python function gets its params and its context and returns JSON", "[python]") {
  const auto f = python_worker(
      "def handler(params, context):\n"
      "    left = context['RemainingSeconds']\n"
      "    return [params, context['RequestId'], context['Function'], context['MemoryMB'],\n"
      "            context['Traceparent'], 29 < left <= 30.5, context.get('RemainingSeconds') <= left,\n"
      "            'Deadline' in context, 'RemainingSeconds' in context, context.get('x', 1)]\n");
  const auto runtime = f->ready();
  REQUIRE(runtime);
  CHECK_THAT(*runtime, StartsWith("CPython 3."));
  CHECK(f->result(R"({"a":2})") == R"([{"a":2},"f-1","f",128,"00-1-2-03",true,true,false,true,1])");
}

TEST_CASE("params reach a Python function unchanged", "[python]") {
  const auto f = python_worker(
      "def handler(p, c):\n    return {'p': p, 'types': [type(v).__name__ for v in p.values()]}\n");
  const std::string params =
      R"({"int":123456789012345678901234567890,"negative":-9007199254740993,"float":1.5,"text":"h\u0000é 漢 😀 </script>","empty":{},"list":[[],null,true],"":1,"ключ":"\"\\\n"})";
  CHECK(
      f->result(params) ==
      R"({"p":{"int":123456789012345678901234567890,"negative":-9007199254740993,"float":1.5,"text":"h\u0000é 漢 😀 </script>","empty":{},"list":[[],null,true],"":1,"ключ":"\"\\\n"},"types":["int","int","float","str","dict","list","int","str"]})");
  CHECK(f->result(R"({"a":"\ud83d\ude00"})") == R"({"p":{"a":"😀"},"types":["str"]})");
  CHECK(f->result("{}") == R"({"p":{},"types":[]})");
}

TEST_CASE("what Python returns becomes one JSON text", "[python]") {
  const auto f = python_evaluator();
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"None", "null"},
      {"True", "true"},
      {"10**30", "1000000000000000000000000000000"},
      {"0.1", "0.1"},
      {"'é\\\\n'", "\"é\\n\""},
      {"(1, [2], {'a': ()})", "[1,[2],{\"a\":[]}]"},
      {"Number.ONE", "1"},
      {"collections.OrderedDict(b=1, a=2)", "{\"b\":1,\"a\":2}"},
      {"collections.namedtuple('P', 'x y')(1, 2)", "[1,2]"},
      {"{'': {'a b': 1}}", "{\"\":{\"a b\":1}}"},
  };
  for (const auto& [text, json] : cases) {
    CAPTURE(text);
    CHECK(f->result(expression(text)) == json);
  }
}

TEST_CASE("what Python returns and is not JSON is an error that names its type and place", "[python]") {
  const auto f = python_evaluator();
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{1, 2}", "result: set is not JSON"},
      {"{'items': [0, 1, 2, {3}]}", "result.items[3]: set is not JSON"},
      {"b'x'", "result: bytes is not JSON"},
      {"{'a b': bytearray()}", "result['a b']: bytearray is not JSON"},
      {"float('nan')", "result: nan (float) is not JSON"},
      {"[1, math.inf]", "result[1]: inf (float) is not JSON"},
      {"{'x': -math.inf}", "result.x: -inf (float) is not JSON"},
      {"1j", "result: complex is not JSON"},
      {"decimal.Decimal(1)", "result: decimal.Decimal is not JSON"},
      {"datetime.date(2020, 1, 1)", "result: datetime.date is not JSON"},
      {"[Own()]", "result[0]: f.Own is not JSON"},
      {"Own", "result: type is not JSON"},
      {"(i for i in [])", "result: generator is not JSON"},
      {"{'a': len}", "result.a: builtin_function_or_method is not JSON"},
      {"{1: 2}", "result: a key of type int (1) is not JSON, keys must be strings"},
      {"[{None: 2}]", "result[0]: a key of type NoneType (None) is not JSON, keys must be strings"},
      {"{'a': {(1,): 2}}", "result.a: a key of type tuple ((1,)) is not JSON, keys must be strings"},
      {"['ok', '\\\\ud800']", "result[1]: a string with a lone surrogate is not JSON"},
      {"{'\\\\udfff': 1}", "result: a key with a lone surrogate ('\\udfff') is not JSON"},
      {"[x := [], x.append(x)]", "result[0][0]: a list that contains itself is not JSON"},
      {"10**5000", "result: an int of more digits than sys.set_int_max_str_digits allows is not JSON"},
  };
  for (const auto& [text, message] : cases) {
    CAPTURE(text);
    CHECK(f->failure(expression(text)) == Failure{FailureKind::kOutput, message, ""});
  }
}

TEST_CASE("a Python exception comes back with type, message and a traceback of the function's code alone",
          "[python]") {
  const auto f = python_worker(
      "class Odd(Exception):\n"
      "    def __str__(self): raise ValueError('no')\n"
      "def inner(kind):\n"
      "    if kind == 'zero': return 1 / 0\n"
      "    if kind == 'empty': raise KeyboardInterrupt\n"
      "    if kind == 'own': raise Odd()\n"
      "    if kind == 'long': raise RuntimeError('m' * 10**8)\n"
      "    if kind == 'deep': return inner(kind)\n"
      "    if kind == 'surrogate': raise ValueError('\\ud800')\n"
      "    try: {}['x']\n"
      "    except KeyError as error: raise RuntimeError('outer') from error\n"
      "def handler(p, c):\n"
      "    return inner(p['kind'])\n");
  const Failure zero = f->failure(R"({"kind":"zero"})");
  CHECK(zero.kind == FailureKind::kRaised);
  CHECK(zero.message == "ZeroDivisionError: division by zero");
  CHECK_THAT(zero.traceback, StartsWith("Traceback (most recent call last):\n  File \"" + f->folder() +
                                        "/f.py\", line 13, in handler\n    return inner(p['kind'])\n"));
  CHECK_THAT(zero.traceback,
             Contains("line 4, in inner") && Catch::EndsWith("ZeroDivisionError: division by zero\n"));
  CHECK_THAT(zero.traceback, !Contains("worker"));
  CHECK(f->failure(R"({"kind":"empty"})").message == "KeyboardInterrupt");
  CHECK(f->failure(R"({"kind":"own"})").message == "f.Odd: <exception str() failed>");
  const Failure lengthy = f->failure(R"({"kind":"long"})");
  CHECK_THAT(lengthy.message, StartsWith("RuntimeError: mmm") && Catch::EndsWith("... (cut)"));
  CHECK(lengthy.message.size() < 70000);
  CHECK_THAT(f->failure(R"({"kind":"deep"})").message, StartsWith("RecursionError: "));
  CHECK(f->failure(R"({"kind":"surrogate"})").message == "ValueError: ?");
  const Failure chained = f->failure(R"({"kind":"chained"})");
  CHECK(chained.message == "RuntimeError: outer");
  CHECK_THAT(chained.traceback, Contains("KeyError: 'x'") && Contains("direct cause"));
  CHECK_THAT(f->failure("{}").message, StartsWith("KeyError: 'kind'"));
}

TEST_CASE("a handler that cannot take the two arguments fails with Python's own words", "[python]") {
  const auto f = python_worker("def handler(params):\n    return 1\n");
  const Failure failure = f->failure();
  CHECK(failure.message == "TypeError: handler() takes 1 positional argument but 2 were given");
  CHECK(failure.traceback == "TypeError: handler() takes 1 positional argument but 2 were given\n");
}

TEST_CASE("params with an integer that Python refuses to read are an exception, not the end", "[python]") {
  const auto f = python_worker("def handler(p, c):\n    return 1\n");
  CHECK_THAT(f->failure("{\"a\":" + std::string(5000, '9') + "}").message,
             StartsWith("ValueError: Exceeds the limit"));
  CHECK(f->result() == "1");
}

TEST_CASE("a Python coroutine or other awaitable is awaited, on a loop that lives from call to call",
          "[python]") {
  const auto f = python_worker(
      "import asyncio\n"
      "loops = set()\n"
      "class Awaitable:\n"
      "    def __await__(self):\n"
      "        yield from asyncio.sleep(0).__await__()\n"
      "        return 'awaited'\n"
      "async def co(p, c):\n"
      "    await asyncio.sleep(0.001)\n"
      "    loops.add(asyncio.get_running_loop())\n"
      "    if 'fail' in p: raise LookupError('inside')\n"
      "    return [p, len(loops)]\n"
      "def handler(p, c):\n"
      "    if 'object' in p: return Awaitable()\n"
      "    if 'nested' in p: return asyncio.run(co(p, c))\n"
      "    return co(p, c)\n");
  CHECK(f->result(R"({"a":1})") == R"([{"a":1},1])");
  CHECK(f->result(R"({"a":2})") == R"([{"a":2},1])");
  CHECK(f->result(R"({"object":1})") == "\"awaited\"");
  const Failure failure = f->failure(R"({"fail":1})");
  CHECK(failure.message == "LookupError: inside");
  CHECK_THAT(failure.traceback,
             StartsWith("Traceback (most recent call last):\n  File \"" + f->folder() + "/f.py\", line 10"));
  CHECK(f->result(R"({"nested":1})") == R"([{"nested":1},2])");
  CHECK(f->result(R"({"a":3})") == R"([{"a":3},2])");
}

TEST_CASE("what a Python handler leaves in its context variables is not seen by the next call", "[python]") {
  const auto f = python_worker(
      "import contextvars\n"
      "var = contextvars.ContextVar('var', default=0)\n"
      "var.set(7)\n"
      "def handler(p, c):\n    before = var.get()\n    var.set(99)\n    return before\n");
  CHECK(f->result() == "7");
  CHECK(f->result() == "7");
}

TEST_CASE("sys.exit in a Python handler ends the process with that status", "[python]") {
  const auto ended = [](const std::string& statement) {
    const auto f = python_worker(
        "import os, sys, asyncio\n"
        "async def co(): sys.exit(6)\n"
        "def handler(p, c):\n    " +
        statement + "\n");
    const auto answer = f->call();
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == ErrorCode::kUnavailable);
    return f->wait();
  };
  CHECK(WEXITSTATUS(ended("sys.exit(3)")) == 3);
  CHECK(WEXITSTATUS(ended("sys.exit()")) == 0);
  CHECK(WEXITSTATUS(ended("sys.exit('text')")) == 1);
  CHECK(WEXITSTATUS(ended("os._exit(4)")) == 4);
  CHECK(WEXITSTATUS(ended("return co()")) == 6);
  CHECK(WTERMSIG(ended("os.abort()")) == SIGABRT);
  CHECK(WTERMSIG(ended("os.kill(os.getpid(), 9)")) == SIGKILL);
}

TEST_CASE("what a Python call prints is captured, from its threads, tasks and pools too", "[python]") {
  const auto f = python_worker(
      "import asyncio, concurrent.futures, logging, sys, threading\n"
      "print('import')\n"
      "pool = concurrent.futures.ThreadPoolExecutor(1)\n"
      "class Own(threading.Thread):\n    def run(self): print('own thread')\n"
      "async def task(): print('task')\n"
      "async def co(): await asyncio.create_task(task()); await asyncio.to_thread(print, 'to_thread')\n"
      "def handler(p, c):\n"
      "    print('é', p['n']); print('err', file=sys.stderr)\n"
      "    sys.stdout.buffer.write(b'bytes\\n'); sys.stdout.writelines(['lines', '\\n'])\n"
      "    logging.warning('log')\n"
      "    thread = threading.Thread(target=print, args=['thread']); thread.start(); thread.join()\n"
      "    own = Own(); own.start(); own.join()\n"
      "    pool.submit(print, 'pool').result()\n"
      "    asyncio.run(co())\n"
      "    print('\\ud800', end='', flush=True)\n"
      "    sys.stdout.flush(); assert not sys.stdout.isatty() and sys.stdout.writable()\n");
  for (const std::string n : {"1", "2"}) {
    const auto answer = f->call("{\"n\":" + n + "}", true);
    REQUIRE(answer);
    CHECK_FALSE(answer->failure);
    CHECK(answer->output ==
          "é " + n +
              "\nerr\nbytes\nlines\nWARNING:root:log\nthread\nown thread\npool\ntask\nto_thread\n\\ud800");
    CHECK_FALSE(answer->output_cut);
  }
  const auto silent = f->call("{\"n\":3}", false);
  REQUIRE(silent);
  CHECK(silent->output.empty());
}

TEST_CASE("what is printed past a finished Python call reaches no other call", "[python]") {
  const auto f = python_worker(
      "import threading\n"
      "go, done = threading.Event(), threading.Event()\n"
      "def late():\n    go.wait(); print('late'); done.set()\n"
      "def handler(p, c):\n"
      "    if 'start' in p: threading.Thread(target=late, daemon=True).start()\n"
      "    else: go.set(); done.wait(); print('second')\n");
  REQUIRE(f->call(R"({"start":1})", true));
  const auto second = f->call("{}", true);
  REQUIRE(second);
  CHECK(second->output == "second\n");
}

TEST_CASE("what is printed below Python goes nowhere, and standard input is empty", "[python]") {
  const auto f = python_worker(
      "import os, subprocess\n"
      "def handler(p, c):\n"
      "    os.write(1, b'raw'); os.write(2, b'raw')\n"
      "    status = subprocess.run(['/bin/echo', 'child']).returncode\n"
      "    read = subprocess.run(['/bin/echo', 'read'], capture_output=True, text=True).stdout\n"
      "    print('python')\n"
      "    try: input()\n"
      "    except EOFError: return [status, read]\n");
  const auto answer = f->call("{}", true);
  REQUIRE(answer);
  CHECK(answer->result == R"([0,"read\n"])");
  CHECK(answer->output == "python\n");
}

TEST_CASE("an exception in a thread is printed to its Python call and ends nothing", "[python]") {
  const auto f = python_worker(
      "import threading\n"
      "def fail(): raise ValueError('in thread')\n"
      "def handler(p, c):\n"
      "    t = threading.Thread(target=fail); t.start(); t.join()\n    return 1\n");
  for (int i = 0; i < 2; ++i) {
    const auto answer = f->call("{}", true);
    REQUIRE(answer);
    CHECK(answer->result == "1");
    CHECK_THAT(answer->output, Contains("ValueError: in thread"));
  }
}

TEST_CASE("a Python handler runs in the main thread of its worker, where signals and timers work",
          "[python]") {
  const auto f = python_worker(
      "import signal, threading, time\n"
      "def handler(p, c):\n"
      "    def late(*_): raise TimeoutError('alarm')\n"
      "    signal.signal(signal.SIGALRM, late)\n"
      "    signal.setitimer(signal.ITIMER_REAL, 0.001)\n"
      "    while True: time.sleep(10)\n");
  CHECK(f->failure().message == "TimeoutError: alarm");
}

TEST_CASE("a handler is found in packages, beside its data, and under any module name", "[python]") {
  const std::map<std::string, std::string> files = {
      {"pkg/__init__.py", ""},
      {"pkg/sub/__init__.py", ""},
      {"pkg/sub/main.py",
       "from .. import other\nimport top\n"
       "def run(p, c): return [other.X, top.X, open('data.txt').read(), __name__]\n"},
      {"pkg/other.py", "X = 'other'\n"},
      {"top.py", "X = 'top'\n"},
      {"data.txt", "data"},
      {"worker.py", "import sys\ndef serve(p, c): return [sys.path[0], sys.modules['worker'].__file__]\n"},
      {"worker_result.py", "def f(p, c): return 'mine'\n"}};
  CHECK(WorkerProcess::python({.files = files, .handler = "pkg.sub.main.run"})->result() ==
        R"(["other","top","data","pkg.sub.main"])");
  const auto same_name = WorkerProcess::python({.files = files, .handler = "worker.serve"});
  CHECK(same_name->result() == "[\"" + same_name->folder() + "\",\"" + same_name->folder() + "/worker.py\"]");
  CHECK(WorkerProcess::python({.files = files, .handler = "worker_result.f"})->result() == "\"mine\"");
}

TEST_CASE("a Python handler that does not load is refused with the reason, and the worker ends", "[python]") {
  struct Case {
    std::string code;
    std::string handler;
    std::string message;
    std::string traceback;
  };
  const std::vector<Case> cases = {
      {"", "f.handler", "module \"f\" has no \"handler\"", ""},
      {"handler = 3\n", "f.handler", "\"handler\" of module \"f\" is a int, not a function", ""},
      {"", "handler", "handler \"handler\" is not of the form module.function", ""},
      {"", "f.", "handler \"f.\" is not of the form module.function", ""},
      {"", "g.handler", "ModuleNotFoundError: No module named 'g'",
       "ModuleNotFoundError: No module named 'g'\n"},
      {"import nothing_such\n", "f.handler", "ModuleNotFoundError: No module named 'nothing_such'",
       "line 1, in <module>"},
      {"def handler(:\n", "f.handler", "SyntaxError: ", "def handler(:"},
      {"1 / 0\n", "f.handler", "ZeroDivisionError: division by zero", "/f.py\", line 1, in <module>"},
      {"import sys; sys.exit(5)\n", "f.handler", "SystemExit: 5", "/f.py\", line 1, in <module>"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.code, one.handler);
    const auto f = WorkerProcess::python({.files = {{"f.py", one.code}}, .handler = one.handler});
    const auto started = f->ready();
    REQUIRE_FALSE(started);
    CHECK(started.error().code == ErrorCode::kFunctionFailed);
    CHECK_THAT(started.error().message, StartsWith(one.message));
    CHECK_THAT(started.error().detail,
               Contains(one.traceback) && !Contains("worker") && !Contains("importlib"));
    CHECK(WEXITSTATUS(f->wait()) == 1);
  }
}

TEST_CASE("a child that a Python handler forks and lets return answers nothing", "[python]") {
  const auto f = python_worker(
      "import os\n"
      "def handler(p, c):\n"
      "    pid = os.fork()\n"
      "    if pid == 0:\n"
      "        if p['raise']: raise ValueError\n"
      "        return 'child'\n"
      "    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]\n");
  CHECK(f->result(R"({"raise":false})") == "[0]");
  CHECK(f->result(R"({"raise":true})") == "[0]");
  CHECK(f->connection().clean());
}

TEST_CASE("a Python handler that closes the channel loses it, and its worker ends", "[python]") {
  const auto f = python_worker("import os\ndef handler(p, c):\n    os.closerange(3, 256)\n    return 1\n");
  const auto answer = f->call();
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::kUnavailable);
  CHECK(WEXITSTATUS(f->wait()) == 74);
}

TEST_CASE("garbage on the channel, or a second answer, breaks the protocol and never reaches a caller",
          "[python]") {
  const std::string find =
      "import os, socket, stat, struct\n"
      "def channel():\n"
      "    for fd in range(3, 64):\n"
      "        try: s = socket.socket(fileno=os.dup(fd)); s.getpeername(); return s\n"
      "        except OSError: pass\n";
  const auto garbage =
      python_worker(find + "def handler(p, c):\n    channel().sendall(b'x' * 100)\n    return 1\n");
  auto answer = garbage->call();
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::kInvalid);

  const auto forged =
      python_worker(find +
                    "def handler(p, c):\n"
                    "    body = b'\\0\\0\\0\\0' + b'\"forged\"'\n"
                    "    channel().sendall(struct.pack('<IBBHQ', len(body), 3, 0, 0, 2) + body)\n"
                    "    return 1\n");
  answer = forged->call();  // its id is 1: the forged answer is meant for the call after it
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::kInvalid);
}
