// What a node costs the program that it lives in: time to start and stop, memory, threads, descriptors, child
// processes. Usage: costs [<calls>]
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <serverledge/assembly/open_node.hpp>

using namespace serverledge;

namespace {

struct Holdings {
  double resident_mb = 0;
  long threads = 0;
  long descriptors = 0;
  long children = 0;
};

Holdings holdings() {
  const auto entries = [](const char* folder) {
    return static_cast<long>(std::distance(std::filesystem::directory_iterator(folder), {}));
  };
  Holdings now;
  long pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;
  now.resident_mb = static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1048576.0;
  now.threads = entries("/proc/self/task");
  now.descriptors = entries("/proc/self/fd") - 1;
  // Of any thread: a child belongs to the one that made it.
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream children(thread.path() / "children");
    for (std::string child; children >> child;) ++now.children;
  }
  return now;
}

void row(const char* when, double milliseconds, const Holdings& now) {
  std::printf("%-28s %9.2f %9.1f %8ld %12ld %9ld\n", when, milliseconds, now.resident_mb, now.threads,
              now.descriptors, now.children);
}

/// Milliseconds that `action` takes.
template <typename Action>
double timed(Action action) {
  const TimePoint begin = system_clock().now();
  action();
  return 1000 * seconds(system_clock().now() - begin);
}

[[noreturn]] void fail(const Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  const int calls = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1000;
  Configuration configuration;
  for (const auto& [key, value] :
       {std::pair{"store.path", ":memory:"}, {"api.port", "0"}, {"log.level", "error"}}) {
    if (Result<void> set = configuration.set(key, value); !set) fail(set.error());
  }
  std::printf("%-28s %9s %9s %8s %12s %9s\n", "", "ms", "MB (RSS)", "threads", "descriptors", "children");
  row("before", 0, holdings());

  std::unique_ptr<OpenedNode> node;
  const double opening = timed([&] {
    Result<std::unique_ptr<OpenedNode>> opened = open_node(configuration);
    if (!opened) fail(opened.error());
    node = std::move(*opened);
  });
  row("open_node", opening, holdings());
  const double starting = timed([&] {
    if (Result<void> started = node->start(); !started) fail(started.error());
  });
  row("OpenedNode::start", starting, holdings());

  Function function;
  function.name = "nothing";
  function.runtime = "python314";
  function.handler = "nothing.handler";
  function.memory_mb = 64;
  const auto stored =
      node->update_function(std::move(function), "def handler(params, context):\n    return None\n");
  if (!stored) fail(stored.error());
  const auto call = [&] {
    Invocation invocation;
    invocation.function = *stored;
    invocation.arrival = system_clock().now();
    if (const auto report = node->node().invoke(invocation); !report) fail(report.error());
  };
  row("first call (cold)", timed(call), holdings());
  std::vector<double> times(static_cast<std::size_t>(calls));
  for (double& time : times) time = timed(call);
  std::nth_element(times.begin(), times.begin() + calls / 2, times.end());
  row("a later call (warm, median)", times[static_cast<std::size_t>(calls / 2)], holdings());

  const double stopping = timed([&] {
    node->stop(std::chrono::seconds(10));
    node.reset();
  });
  row("stopped", stopping, holdings());
}
