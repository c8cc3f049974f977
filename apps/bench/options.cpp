#include "options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>

#include "../cli/source_archive.hpp"
#include "http_request.hpp"
#include "serverledge/core/json.hpp"
#include "serverledge/net/base64.hpp"

namespace serverledge::bench {
namespace {

constexpr int kWrongUsage = 1;
constexpr int kOpenConnections = 1000;
constexpr std::uint64_t kLargestSeed = 0xFFFFFFFF;  // short enough to be typed again

constexpr const char* kFooter =
    "Examples:\n"
    "  serverledge-bench -f hello --duration 10 --warmup 1\n"
    "  serverledge-bench -f isprime --params '{\"n\": 97}' --connections 16 --requests 100000 --json\n"
    "  serverledge-bench -f hello --rate 500 --poisson --duration 30 --plot latency.svg\n"
    "  serverledge-bench -f hot:9,mild:3,rare --rate 200          functions by weight\n"
    "  serverledge-bench --cold --src hello.py --handler hello.handler --requests 100\n"
    "  serverledge-bench -P 8000 --path /anything --method POST --body '{}'      any other HTTP server\n"
    "\n"
    "Closed loop (without --rate): every connection waits for its answer before it sends the next request.\n"
    "That tells what the server can do, and nothing of how long requests of an independent source would "
    "queue:\n"
    "a server that stalls is sent less.\n"
    "\n"
    "Open loop (--rate): calls are due at moments that do not depend on the server, and their latency "
    "counts\n"
    "from when they were due, whenever they could be sent. A call takes a free connection; if there is "
    "none,\n"
    "another one is opened, up to --connections; beyond, calls wait, and how many is told. One that has "
    "waited\n"
    "for --timeout fails as `unsent`.\n"
    "\n"
    "Cold (--cold): each call is that of a function of its own, under a name that the node has never seen\n"
    "(bench-<seed>-<number>), so that it has no container on any node. It is registered before and removed "
    "after\n"
    "its call, on the same connection and outside of the latency, but not of the throughput, of which these\n"
    "requests take their part; those of an open loop are all registered before it begins. The code is the "
    "same\n"
    "for all: what a node keeps of it by content, such as unpacked files, images or pages in memory, is "
    "warm\n"
    "from the second call on. Calls that say they were warm are counted as such, and should be none. A file\n"
    "or folder as --src is sent as a tar; names of functions that could not be removed are told.\n"
    "\n"
    "Ctrl-C ends the load early, with what was measured so far.\n"
    "Exit status: 0 every answer was a 2xx; 1 wrong usage; 2 some were not, or did not come.";

// Options as text and numbers, before they make sense together.
struct Given {
  std::vector<std::string> functions;
  std::string params = "{}";
  std::string path;
  std::string method = "POST";
  std::string body;
  bool cold = false;
  std::string source;
  std::string handler;
  std::string runtime = "python314";
  int memory = 128;
  double zipf = 0;
  bool poisson = false;
  std::optional<int> connections;
  std::optional<std::uint64_t> seed;
  double duration = 10;
  double warmup = 0;
  double timeout = 60;
};

void define_server(CLI::App& app, Options& options) {
  app.add_option("-H,--host", options.load.host, "The server's host (127.0.0.1)")
      ->envname("SERVERLEDGE_HOST");
  app.add_option("-P,--port", options.load.port, "The server's port (1323)")
      ->envname("SERVERLEDGE_PORT")
      ->check(CLI::Range(1, 65535));
}

void define_calls(CLI::App& app, Given& given) {
  auto* function =
      app.add_option("-f,--function", given.functions,
                     "The function to call; several, after commas or repeated, are drawn by their "
                     "weights: NAME or NAME:WEIGHT (1)")
          ->delimiter(',');
  auto* params = app.add_option("--params", given.params, "Its parameters, a JSON object ({})");
  app.add_option("--zipf", given.zipf, "Draw the n-th function with a weight of 1/n^ZIPF")
      ->needs(function)
      ->check(CLI::Range(0.01, 10.0));
  auto* path = app.add_option("--path", given.path, "A path to ask for instead of a function")
                   ->excludes(function)
                   ->excludes(params);
  app.add_option("--method", given.method, "Its method (POST)")
      ->needs(path)
      ->check(CLI::IsMember({"GET", "POST", "PUT", "DELETE"}));
  app.add_option("--body", given.body, "Its body")->needs(path);
  auto* cold = app.add_flag("--cold", given.cold, "Call a new function each time, made of --src")
                   ->excludes(function)
                   ->excludes(path);
  auto* source =
      app.add_option("--src", given.source, "Code of the cold functions: file, folder, archive or URL")
          ->needs(cold);
  cold->needs(source);
  app.add_option("--handler", given.handler, "Their handler, such as hello.handler")->needs(cold);
  app.add_option("--runtime", given.runtime, "Their runtime (python314)")->needs(cold);
  app.add_option("--memory", given.memory, "Their memory, in MB (128)")
      ->needs(cold)
      ->check(CLI::Range(1, 1 << 30));
}

void define_load(CLI::App& app, Options& options, Given& given) {
  app.add_option("-c,--connections", given.connections, "How many at a time (1); with --rate at most (1000)")
      ->check(CLI::Range(1, 20000));
  app.add_option("-t,--threads", options.load.threads, "Threads that serve more than two connections (1)")
      ->check(CLI::Range(1, 256));
  auto* rate = app.add_option("-r,--rate", options.load.rate, "Calls per second of an open loop")
                   ->check(CLI::Range(0.001, 1e6));
  app.add_flag("--poisson", given.poisson, "Calls come at random, not at even intervals")->needs(rate);
  auto* duration = app.add_option("-d,--duration", given.duration, "Seconds of load (10)");
  app.add_option("-n,--requests", options.load.requests, "Requests to send, however long it takes")
      ->excludes(duration)
      ->check(CLI::PositiveNumber);
  app.add_option("-w,--warmup", given.warmup, "Seconds of load before anything counts (0)");
  app.add_option("--timeout", given.timeout, "Longest wait for one answer, in seconds (60)");
  for (const char* name : {"--duration", "--warmup", "--timeout"})
    app.get_option(name)->check(CLI::Range(0.0, 1e6));
  app.add_option("--seed", given.seed, "Makes what is random the same again (a random one, which is told)")
      ->check(CLI::Range(std::uint64_t{0}, kLargestSeed));
}

void define_output(CLI::App& app, Options& options) {
  app.add_flag("--progress", options.progress,
               "Tell each second how it goes, also where stderr is no terminal");
  app.add_flag("--json", options.json, "Print one JSON object, times in seconds");
  app.add_option("--plot", options.plot, "File for a plot of the latencies, as SVG");
  app.footer(kFooter);
}

Result<void> check_params(const std::string& params) {
  const auto parsed = JsonDocument::parse(params);
  if (parsed && parsed->root().is_object()) return {};
  return Unexpected(ErrorCode::kInvalid, "--params must be a JSON object" +
                                             (parsed ? std::string() : ": " + parsed.error().message));
}

Result<ColdDefinition> cold_definition(const Given& given, std::uint64_t seed) {
  const auto source = cli::read_source(given.source);
  if (!source) return Unexpected(source.error().code, "--src " + source.error().message);
  ColdDefinition cold;
  std::string object;
  JsonWriter writer(object);
  writer.begin_object();
  writer.key("Runtime").string(given.runtime);
  writer.key("MemoryMB").integer(given.memory);
  writer.key("CPUDemand").number(0);
  writer.key("MaxConcurrency").integer(1);
  writer.key("Handler").string(given.handler);
  writer.key("TarFunctionCode").string(base64_encode(*source)).end_object();
  cold.fields = object.substr(1, object.size() - 2);  // of which the name is added
  cold.prefix = fmt::format("bench-{:08x}", seed);
  cold.params = given.params;
  return cold;
}

Result<void> choose_targets(const Given& given, Load& load) {
  if (auto good = check_params(given.params); !good) return good;
  if (given.cold) {
    auto cold = cold_definition(given, load.seed);
    if (!cold) return Unexpected(cold.error());
    load.cold = std::move(*cold);
    load.targets = {{given.source, 1, {}}};
    return {};
  }
  if (!given.functions.empty()) {
    auto targets = parse_targets(given.functions, given.zipf);
    if (!targets) return Unexpected(targets.error());
    load.targets = std::move(*targets);
    for (auto& target : load.targets) {
      target.request =
          http_request(load.host, load.port, "POST", "/invoke/" + target.name, invocation_body(given.params));
    }
    return {};
  }
  if (!given.path.starts_with('/') || given.path.find_first_of(" \t\r\n") != std::string::npos) {
    return Unexpected(
        ErrorCode::kInvalid,
        "one of --function, --cold and --path is required: functions' names, or a path that begins "
        "with '/'");
  }
  load.targets = {{given.path, 1, http_request(load.host, load.port, given.method, given.path, given.body)}};
  return {};
}

std::string describe(const Given& given, const Load& load) {
  std::string names;
  for (const auto& target : load.targets) {
    if (names.size() > 60) {
      names += ", ...";
      break;
    }
    names += (names.empty() ? "" : ", ") + target.name;
  }
  const std::string what = (given.cold ? "cold starts of " : "") + names;
  if (!load.open()) return fmt::format("{}: closed loop, {} connections", what, load.connections);
  return fmt::format("{}: open loop, {} {}/s", what, given.poisson ? "Poisson" : "constant", load.rate);
}

Result<void> combine(const Given& given, Options& options) {
  Load& load = options.load;
  load.seed = given.seed.value_or(entropy() & kLargestSeed);
  load.duration = from_seconds(given.duration);
  load.warmup = from_seconds(given.warmup);
  load.timeout = from_seconds(given.timeout);
  load.spacing = given.poisson ? Spacing::kPoisson : Spacing::kConstant;
  load.connections = given.connections.value_or(load.open() ? kOpenConnections : 1);
  if (auto chosen = choose_targets(given, load); !chosen) return chosen;
  options.seeded = given.seed || given.poisson || given.cold || load.targets.size() > 1;
  options.functions = given.path.empty();
  options.description = describe(given, load);
  return {};
}

}  // namespace

Options read_command_line(int argc, char** argv, std::optional<int>& exit_code) {
  CLI::App app("Loads an HTTP server and measures its answers.", "serverledge-bench");
  Options options;
  Given given;
  define_server(app, options);
  define_calls(app, given);
  define_load(app, options, given);
  define_output(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error) == 0 ? 0 : kWrongUsage;
    return options;
  }
  if (const auto good = combine(given, options); !good) {
    fmt::print(stderr, "serverledge-bench: {}\n", good.error().message);
    exit_code = kWrongUsage;
  }
  return options;
}

}  // namespace serverledge::bench
