// A function that brings a package with compiled modules in its archive.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "serverledge/net/base64.hpp"
#include "support/answers.hpp"
#include "support/command_run.hpp"
#include "support/node_process.hpp"
#include "support/skip.hpp"
#include "support/temporary_folder.hpp"
#include "support/traces.hpp"

namespace serverledge::test {

TEST_CASE("a function calls the numpy that its archive brings", "[integration]") {
  const std::filesystem::path packages = "/usr/lib/python3/dist-packages";
  if (!std::filesystem::exists(packages / "numpy")) skip_test("python3-numpy is not installed");
  const TemporaryFolder folder;
  std::ofstream(folder.file("sums.py")) << R"(
import numpy
def handler(params, context):
    a = numpy.arange(12.0).reshape(3, 4)
    return {'where': numpy.__file__, 'sum': float((a @ a.T).sum()),
            'det': round(float(numpy.linalg.det(numpy.eye(3) * 2)), 9)}
)";
  const CommandRun packed =
      run_command({"/bin/tar", "-czf", folder.file("code.tgz"), "--exclude=tests", "-C", packages.string(),
                   "numpy", "-C", folder.path().string(), "sums.py"});
  INFO(packed.err);
  REQUIRE(packed.exit_code == 0);

  const NodeProcess node;
  const HttpResponse created =
      node.post("/create", R"({"Name":"sums","Runtime":"python314","Handler":"sums.handler","MemoryMB":256,)"
                           R"("TarFunctionCode":")" +
                               base64_encode(read_whole(folder.file("code.tgz"))) + "\"}");
  INFO(created.body);
  REQUIRE(created.status == 200);
  for (int call = 0; call < 2; ++call) {
    const HttpResponse answer = node.post("/invoke/sums", "{}");
    INFO(answer.body);
    REQUIRE(answer.status == 200);
    CHECK(text_member(answer, "Result") == R"({"where":"/app/numpy/__init__.py","sum":1134.0,"det":8.0})");
  }
}

}  // namespace serverledge::test
