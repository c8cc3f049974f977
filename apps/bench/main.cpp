#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <optional>

#include "load.hpp"
#include "options.hpp"
#include "plot.hpp"
#include "report.hpp"

namespace serverledge::bench {
namespace {

enum Exit : int { kOk = 0, kUsage = 1, kFailures = 2 };

std::atomic<bool> stop_asked{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

// The first one ends the load; a second one the program, as the default does.
void take_signals() {
  struct sigaction action = {};
  action.sa_handler = [](int) { stop_asked.store(true, std::memory_order_relaxed); };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int number : {SIGINT, SIGTERM}) sigaction(number, &action, nullptr);
}

// Each connection takes a descriptor: whether there are enough.
bool raise_descriptors(int connections) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return true;
  const auto needed = static_cast<rlim_t>(connections) + 600;  // two for each thread, and what a program has
  if (limit.rlim_cur >= needed) return true;
  limit.rlim_cur = std::min(limit.rlim_max, std::max(needed, limit.rlim_cur));
  return setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= needed;
}

int main(int argc, char** argv) {
  std::optional<int> exit_code;
  Options options = read_command_line(argc, argv, exit_code);
  if (exit_code) return *exit_code;
  if (!raise_descriptors(options.load.connections)) {
    fmt::print(stderr, "serverledge-bench: {} connections need more open files than the limit (ulimit -Hn)\n",
               options.load.connections);
    return kUsage;
  }
  std::ofstream plot;
  if (!options.plot.empty()) {
    plot.open(options.plot, std::ios::binary);  // now: it would be a pity after the load
    if (!plot) {
      fmt::print(stderr, "serverledge-bench: --plot {}: {}\n", options.plot, std::strerror(errno));
      return kUsage;
    }
  }
  take_signals();
  options.load.stop = &stop_asked;
  std::function<void(const Progress&)> progress;
  if (options.progress || isatty(STDERR_FILENO) == 1) {
    progress = [](const Progress& now) { fmt::print(stderr, "{}\n", to_line(now)); };
  }
  const auto outcome = run(options.load, progress);
  if (!outcome) {
    fmt::print(stderr, "serverledge-bench: {}\n", outcome.error().message);
    return kFailures;
  }
  fmt::print("{}", options.json ? to_json(options, *outcome) + "\n" : to_text(options, *outcome));
  if (plot.is_open() && !(plot << latency_plot(options.description, *outcome)).flush()) {
    fmt::print(stderr, "serverledge-bench: --plot {}: cannot be written\n", options.plot);
    return kFailures;
  }
  return outcome->failures() == 0 && outcome->successes() > 0 ? kOk : kFailures;
}

}  // namespace
}  // namespace serverledge::bench

int main(int argc, char** argv) {
  try {
    return serverledge::bench::main(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "serverledge-bench: {}\n", error.what());
    return 2;
  }
}
