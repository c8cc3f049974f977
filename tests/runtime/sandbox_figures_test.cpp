// Not a test: figures of the sandbox runtime alone, each beside its floor in the same run. Run it by its tag:
// sandbox_test "[figures]".
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "runtime/sandbox_under_test.hpp"

namespace serverledge::test {
namespace {

constexpr int kRounds = 60;

double milliseconds(const std::function<void()>& action) {
  const TimePoint begin = system_clock().now();
  action();
  return seconds(system_clock().now() - begin) * 1000;
}

void run(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  char* environment[] = {nullptr};
  pid_t pid = -1;
  REQUIRE(::posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), environment) == 0);
  ::waitpid(pid, nullptr, 0);
}

struct Series {
  const char* name;
  std::vector<double> values;
  double at(double part) {
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(static_cast<double>(values.size() - 1) * part)];
  }
  void print() { std::printf("%-32s %8.2f ms p50 %8.2f p10 %8.2f p90\n", name, at(0.5), at(0.1), at(0.9)); }
};

TEST_CASE("figures of starts and calls", "[.figures]") {
  SandboxUnderTest under_test;
  const Function python = under_test.python("def handler(params, context):\n    return 1\n");
  const Function nodejs = under_test.nodejs("module.exports = () => 1;\n");
  Series floor_python{"python3 -c 'import json, socket'", {}};
  Series floor_nodejs{"node -e 0", {}};
  Series start_python{"Python: create from stock", {}};
  Series direct_python{"Python: create without stock", {}};
  Series start_nodejs{"Node.js: create from stock", {}};
  Series first_python{"Python: first call", {}};
  Series warm{"Python: warm call", {}};
  Series end{"Python: destroy", {}};
  for (int round = 0; round < kRounds; ++round) {
    floor_python.values.push_back(milliseconds([] {
      run({"/usr/bin/python3", "-c", "import json, socket"});
    }));
    std::unique_ptr<Container> container;
    direct_python.values.push_back(milliseconds([&] { container = start(under_test, python); }));
    container.reset();
    REQUIRE(under_test.runtime().add_stock("python314", later(system_clock().now(), from_seconds(30))));
    start_python.values.push_back(milliseconds([&] { container = start(under_test, python); }));
    first_python.values.push_back(milliseconds([&] { (void)call(*container); }));
    warm.values.push_back(milliseconds([&] { (void)call(*container); }));
    end.values.push_back(milliseconds([&] { container->destroy(); }));
    if (round % 3 != 0) continue;
    floor_nodejs.values.push_back(milliseconds([] { run({"/usr/bin/node", "-e", "0"}); }));
    REQUIRE(under_test.runtime().add_stock("nodejs17ng", later(system_clock().now(), from_seconds(30))));
    start_nodejs.values.push_back(milliseconds([&] { container = start(under_test, nodejs); }));
  }
  for (Series* series : {&floor_python, &start_python, &direct_python, &first_python, &warm, &end,
                         &floor_nodejs, &start_nodejs}) {
    series->print();
  }
}

}  // namespace
}  // namespace serverledge::test
