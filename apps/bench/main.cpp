#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "load.hpp"
#include "report.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge::bench {
namespace {

enum Exit : int { kOk = 0, kUsage = 1, kFailures = 2 };

constexpr const char* kFooter =
    "Examples:\n"
    "  serverledge-bench -f hello --duration 10 --warmup 1\n"
    "  serverledge-bench -f isprime --params '{\"n\": 97}' --connections 16 --requests 100000 --json\n"
    "  serverledge-bench -P 8000 --path /anything --method POST --body '{}'      any other HTTP server\n"
    "\n"
    "A closed loop: every connection waits for its answer before it sends the next request, so latency\n"
    "says nothing of how long requests of an independent source would queue.\n"
    "Exit status: 0 every answer was a 2xx; 1 wrong usage; 2 some were not, or did not come.";

struct Options {
  Load load;
  std::string function;
  std::string params = "{}";
  std::string path;
  std::string method = "POST";
  std::string body;
  double duration = 10;
  double warmup = 0;
  double timeout = 60;
  bool json = false;
};

void define(CLI::App& app, Options& options) {
  app.add_option("-H,--host", options.load.host, "The server's host (127.0.0.1)")
      ->envname("SERVERLEDGE_HOST");
  app.add_option("-P,--port", options.load.port, "The server's port (1323)")
      ->envname("SERVERLEDGE_PORT")
      ->check(CLI::Range(1, 65535));
  auto* function = app.add_option("-f,--function", options.function, "The function to call");
  app.add_option("--params", options.params, "Its parameters, a JSON object ({})")->needs(function);
  auto* path =
      app.add_option("--path", options.path, "A path to ask for instead of a function")->excludes(function);
  app.add_option("--method", options.method, "Its method (POST)")
      ->needs(path)
      ->check(CLI::IsMember({"GET", "POST", "PUT", "DELETE"}));
  app.add_option("--body", options.body, "Its body")->needs(path);
  app.add_option("-c,--connections", options.load.connections, "How many at a time (1)")
      ->check(CLI::Range(1, 20000));
  app.add_option("-t,--threads", options.load.threads, "Threads that serve more than two connections (1)")
      ->check(CLI::Range(1, 256));
  auto* duration = app.add_option("-d,--duration", options.duration, "Seconds of load (10)");
  app.add_option("-n,--requests", options.load.requests, "Requests to send, however long it takes")
      ->excludes(duration)
      ->check(CLI::PositiveNumber);
  app.add_option("-w,--warmup", options.warmup, "Seconds of load before anything counts (0)");
  app.add_option("--timeout", options.timeout, "Longest wait for one answer, in seconds (60)");
  for (const char* name : {"--duration", "--warmup", "--timeout"})
    app.get_option(name)->check(CLI::Range(0.0, 1e6));
  app.add_flag("--json", options.json, "Print one JSON object, times in seconds");
  app.footer(kFooter);
}

// The bytes of the request; an error text in `wrong` if the options make none.
std::string request(const Options& options, std::string& wrong) {
  std::string path = options.path;
  std::string body = options.body;
  if (!options.function.empty()) {
    const auto params = JsonDocument::parse(options.params);
    if (!params || !params->root().is_object()) {
      wrong = "--params must be a JSON object" + (params ? std::string() : ": " + params.error().message);
      return {};
    }
    path = "/invoke/" + options.function;
    body = fmt::format(
        R"({{"Params":{},"QoSClass":0,"QoSMaxRespT":-1,"CanDoOffloading":true,"Async":false,"ReturnOutput":false}})",
        options.params);
  }
  const bool plain = options.method.find_first_of(" \t\r\n") == std::string::npos &&
                     path.find_first_of(" \t\r\n") == std::string::npos && path.starts_with('/');
  if (!plain)
    wrong = "one of --function and --path is required: a function's name, or a path that begins with '/'";
  std::string bytes = fmt::format("{} {} HTTP/1.1\r\nHost: {}:{}\r\n", options.method, path,
                                  options.load.host, options.load.port);
  if (!body.empty())
    bytes += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
  return bytes + "\r\n" + body;
}

int main(int argc, char** argv) {
  CLI::App app("Loads an HTTP server and measures its answers.", "serverledge-bench");
  Options options;
  define(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  std::string wrong;
  options.load.request = request(options, wrong);
  if (!wrong.empty()) {
    fmt::print(stderr, "serverledge-bench: {}\n", wrong);
    return kUsage;
  }
  options.load.duration = from_seconds(options.duration);
  options.load.warmup = from_seconds(options.warmup);
  options.load.timeout = from_seconds(options.timeout);
  const auto outcome = run(options.load);
  if (!outcome) {
    fmt::print(stderr, "serverledge-bench: {}\n", outcome.error().message);
    return kFailures;
  }
  fmt::print("{}", options.json ? to_json(options.load, *outcome) + "\n" : to_text(options.load, *outcome));
  return outcome->failures() == 0 && outcome->successes() > 0 ? kOk : kFailures;
}

}  // namespace
}  // namespace serverledge::bench

int main(int argc, char** argv) { return serverledge::bench::main(argc, argv); }
