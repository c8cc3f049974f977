#include "runtime/runtime_under_test.hpp"

#include <catch2/catch.hpp>

namespace serverledge::test {

const char* const kSocketCode =
    "import os, socket, stat, struct\n"
    "def sockets():\n"
    "    found = []\n"
    "    for fd in map(int, os.listdir('/proc/self/fd')):\n"
    "        try:\n"
    "            if stat.S_ISSOCK(os.fstat(fd).st_mode):\n"
    "                found.append(fd)\n"
    "        except OSError:\n"
    "            pass\n"
    "    return found\n"
    "def frame(kind, call, body):\n"
    "    return struct.pack('<IBBHQ', len(body), kind, 0, 0, call) + body\n"
    "def tell(data):\n"
    "    for fd in sockets():\n"
    "        try:\n"
    "            os.write(fd, data)\n"
    "        except OSError:\n"
    "            pass\n";

std::vector<std::string> frame_garbage() {
  return {"os.urandom(100)",
          "b'HTTP/1.1 200 OK\\r\\n\\r\\n'",
          "bytes(16)",
          "struct.pack('<IBBHQ', 0xffffffff, 3, 0, 0, 1)",             // a length without end
          "frame(3, 1, struct.pack('<I', 0xffffffff) + b'1')",         // output longer than the frame
          "frame(3, 1, struct.pack('<I', 0) + b'{\"a\": nonsense}')",  // no JSON
          "frame(2, 0, b'{}')",
          "frame(9, 1, b'')"};
}

Function RuntimeUnderTest::add(const char* runtime, const char* handler, const std::string& code) {
  Function function;
  function.name = "main";
  function.runtime = runtime;
  function.memory_mb = 128;
  function.handler = handler;
  if (const Result<void> added = codes_.add(function, code, archive()); !added) FAIL(added.error().message);
  return function;
}

Function RuntimeUnderTest::python(const std::string& source) {
  return add("python314", "main.handler", source);
}

Function RuntimeUnderTest::nodejs(const std::string& source) { return add("nodejs17ng", "main", source); }

Reply call(Container& container, std::string_view params, double seconds, bool output, int slot) {
  Call what;
  what.id = "main-0123456789abcdef0123456789abcdef";
  what.params = params;
  what.return_output = output;
  what.slot = slot;
  what.deadline = later(system_clock().now(), from_seconds(seconds));
  return container.invoke(what);
}

std::unique_ptr<Container> start(RuntimeUnderTest& under_test, const Function& function) {
  Result<std::unique_ptr<Container>> container =
      under_test.runtime().create(function, later(system_clock().now(), from_seconds(600)));
  if (!container)
    FAIL("the container did not start: " << container.error().message << '\n' << container.error().detail);
  return std::move(*container);
}

}  // namespace serverledge::test
