// What every container runtime must do: linked with one of them each time.
#include <catch2/catch.hpp>
#include <thread>

#include "runtime/runtime_under_test.hpp"

namespace serverledge::test {
namespace {

TEST_CASE("a Python function answers, and answers again warm", "[conformance]") {
  auto under_test = make_runtime_under_test();
  auto container = start(*under_test, under_test->python("def handler(params, context):\n"
                                                         "    return {'n': params['n'] + 1}\n"));
  for (int n = 0; n < 3; ++n) {
    const Reply reply = call(*container, "{\"n\": " + std::to_string(n) + "}");
    REQUIRE_FALSE(reply.failure);
    CHECK(reply.result == "{\"n\":" + std::to_string(n + 1) + "}");
    CHECK_FALSE(reply.doomed);
  }
  CHECK(container->alive());
}

TEST_CASE("a Node.js function answers, and answers again warm", "[conformance]") {
  auto under_test = make_runtime_under_test();
  auto container = start(
      *under_test, under_test->nodejs("module.exports = async (params, context) => ({n: params.n + 1});\n"));
  for (int n = 0; n < 3; ++n) {
    const Reply reply = call(*container, "{\"n\": " + std::to_string(n) + "}");
    REQUIRE_FALSE(reply.failure);
    CHECK(reply.result == "{\"n\":" + std::to_string(n + 1) + "}");
    CHECK_FALSE(reply.doomed);
  }
}

}  // namespace
}  // namespace serverledge::test
