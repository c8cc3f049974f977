#include "runtime/runtime_under_test.hpp"

#include <catch2/catch.hpp>

namespace serverledge::test {

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
