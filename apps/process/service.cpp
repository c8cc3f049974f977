#include "service.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "process_setup.hpp"
#include "serverledge/assembly/configuration_file.hpp"
#include "stop_signals.hpp"

namespace serverledge {
namespace {

/// What the process exits with.
enum Exit : int { kStopped = 0, kWrongUsage = 1, kNotStarted = 2, kCutOff = 3 };

/// An event that `poll` can wait for.
class Event {
 public:
  Event() : fd_(::eventfd(0, EFD_CLOEXEC)) {}
  ~Event() { ::close(fd_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void set() const {
    const std::uint64_t one = 1;
    while (::write(fd_, &one, sizeof(one)) < 0) {
    }
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

/// Says something on stderr, under the program's name.
void say(const ServiceProgram& program, const std::string& what) {
  fmt::print(stderr, "{}: {}\n", program.name, what);
}

/// Waits for the first signal, then for the end of the drain or a second one.
int run_until_stopped(const ServiceProgram& program, Service& service, StopSignals& signals, Duration drain) {
  const int first = signals.wait();
  say(program, fmt::format("{}: stopping, waiting up to {} s for running calls (again: stop at once)",
                           ::sigabbrev_np(first), seconds(drain)));
  const Event stopped;
  std::jthread stopper([&] {
    service.stop(drain);
    stopped.set();
  });
  if (signals.wait(stopped.fd()) == 0) return kStopped;
  say(program, "stopping at once");
  service.stop(Duration::zero());
  return kCutOff;
}

int fail(const ServiceProgram& program, const Error& error) {
  say(program, error.message);
  return error.code == ErrorCode::kInvalid ? kWrongUsage : kNotStarted;
}

int serve(const ServiceProgram& program, const Configuration& configuration) {
  StopSignals signals;  // before the first thread
  std::vector<std::string> notices = prepare_process();
  if (program.runs_functions) {
    if (auto notice = enter_leaf_cgroup()) notices.push_back(std::move(*notice));
  }
  for (const std::string& notice : notices) say(program, notice);
  Result<std::unique_ptr<Service>> service = program.open(configuration);
  if (!service) return fail(program, service.error());
  if (const Result<void> started = (*service)->start(); !started) return fail(program, started.error());
  return run_until_stopped(program, **service, signals, configuration.duration("api.drain"));
}

void print_configuration(const Configuration& configuration) {
  for (const Configuration::Effective& row : configuration.effective()) {
    const bool secret = row.key == "etcd.password" && !row.value.empty();
    fmt::print("{} = {}  # {}\n", row.key, secret ? "(hidden)" : row.value, row.origin);
  }
}

int check(const ServiceProgram& program, const Configuration& configuration) {
  if (const Result<void> checked = program.check(configuration); !checked) {
    say(program, checked.error().message);
    return kWrongUsage;
  }
  for (const std::string& warning : configuration.warnings()) say(program, warning);
  fmt::print("the configuration is fine\n");
  return kStopped;
}

int run(const ServiceProgram& program, int argc, char** argv) {
  CLI::App app(program.description, program.name);
  std::string file;
  bool only_check = false;
  bool print = false;
  app.add_option("config", file, "Configuration file (YAML or TOML)");
  app.add_flag("--check-config", only_check, "Read the configuration, say what is wrong with it, and end");
  app.add_flag("--print-config", print, "Print every key with its value and where that comes from, and end");
  app.set_version_flag("--version", program.name + " " SERVERLEDGE_VERSION);
  app.footer(program.footer);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kStopped : kWrongUsage;
  }
  LoadOptions sources;
  if (!file.empty()) sources.file = file;
  sources.environment = process_environment();
  const Result<Configuration> configuration = load_configuration(sources);
  if (!configuration) {
    say(program, configuration.error().message);
    return kWrongUsage;
  }
  if (print) print_configuration(*configuration);
  if (only_check) return check(program, *configuration);
  return print ? kStopped : serve(program, *configuration);
}

}  // namespace

int run_service(const ServiceProgram& program, int argc, char** argv) {
  const int code = run(program, argc, argv);
  return std::fflush(stdout) == 0 ? code : kWrongUsage;
}

}  // namespace serverledge
