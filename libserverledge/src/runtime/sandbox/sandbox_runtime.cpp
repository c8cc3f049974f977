#include "runtime/sandbox/sandbox_runtime.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>

#include "runtime/sandbox/interpreter.hpp"
#include "runtime/sandbox/sandbox_container.hpp"
#include "serverledge/core/json.hpp"
#include "serverledge/runtime/code_archive.hpp"

namespace serverledge {
namespace {

// Address space that is reserved and not used counts in RLIMIT_DATA too, threads' stacks for one.
constexpr std::int64_t kReserve = std::int64_t{1} << 30U;
// A Python instance shares almost all of its memory with the zygote until it is a function.
constexpr std::int64_t kPythonStockMb = 8;

}  // namespace

SandboxRuntime::SandboxRuntime(SandboxOptions options, std::shared_ptr<Machine> machine, Parts parts,
                               std::vector<std::string> hidden)
    : options_(std::move(options)), machine_(std::move(machine)), parts_(parts), hidden_(std::move(hidden)) {}

SandboxRuntime::~SandboxRuntime() { shutdown(); }

Result<void> SandboxRuntime::open(TimePoint deadline) {
  if (Result<void> started = machine_->launcher.start(deadline); !started) return started;
  notices_ = machine_->cgroups.missing();
  if (!machine_->cgroups.limits_memory()) {
    notices_.emplace_back(
        "the memory of sandboxes is looked at once a second, and what is over its limit killed");
  }
  if (machine_->launcher.rootless()) {
    notices_.emplace_back(
        "without root all sandboxes run as the node's own user, kept apart by namespaces alone");
  }
  const Language python{
      SL_PYTHON, "python314", options_.python, {"python314", kPythonStockMb, options_.python_stock}};
  const Language nodejs{SL_NODEJS,
                        "nodejs17ng",
                        options_.node,
                        {"nodejs17ng", options_.stock_memory_mb, options_.nodejs_stock}};
  std::optional<Error> first;
  for (const Language& language : {python, nodejs}) {
    if (language.program.empty()) continue;
    Result<void> served = serve(language, deadline);
    if (served) continue;
    Error error = served.error();
    if (error.code == ErrorCode::kUnsupported) return served;  // the machine, and not the program
    notices_.push_back(fmt::format("functions of {} are not served: {}", language.runtime, error.message));
    if (!first) first = std::move(error);
  }
  if (!served_.empty()) return {};
  if (!first) return Unexpected(ErrorCode::kInvalid, "neither sandbox.python nor sandbox.node is set");
  return Unexpected(std::move(*first));
}

Result<void> SandboxRuntime::serve(Language language, TimePoint deadline) {
  const char* key = language.operation == SL_PYTHON ? "sandbox.python" : "sandbox.node";
  if (::access(language.program.c_str(), X_OK) != 0) {
    return Unexpected(ErrorCode::kUnavailable, fmt::format("{}: {} is not there", key, language.program));
  }
  if (const auto folders = interpreter_folders(language.program, hidden_); !folders) {
    return Unexpected(folders.error().code, fmt::format("{}: {}", key, folders.error().message));
  }
  if (language.operation == SL_PYTHON) {
    if (Result<void> zygote = machine_->launcher.start_zygote(deadline); !zygote) return zygote;
  }
  Result<Blank> blank = start_blank(language, deadline);
  if (!blank) return Unexpected(blank.error());
  for (std::string& sentence : missing_isolation(blank->instance->missing())) {
    if (std::find(notices_.begin(), notices_.end(), sentence) == notices_.end()) {
      notices_.push_back(std::move(sentence));
    }
  }
  served_.push_back({language.runtime, blank->version});
  languages_.push_back(std::move(language));
  return {};
}

const SandboxRuntime::Language* SandboxRuntime::find(std::string_view runtime) const {
  for (const Language& language : languages_) {
    if (language.runtime == runtime) return &language;
  }
  return nullptr;
}

CgroupLimits SandboxRuntime::limits(const Function& function) const {
  return {function.memory_mb << 20U, function.cpu_demand,
          options_.processes + std::max(1, function.max_concurrency)};
}

std::string SandboxRuntime::load_text(const Function& function) const {
  const CgroupLimits bounds = limits(function);
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("Handler").string(function.handler);
  json.key("Slots").integer(std::max(1, function.max_concurrency));
  json.key("OutputLimit").integer(static_cast<std::int64_t>(options_.output_bytes));
  json.key("ResultLimit").integer(static_cast<std::int64_t>(options_.result_bytes));
  if (!machine_->cgroups.limits_processes()) json.key("ProcessLimit").integer(bounds.processes);
  // Only so that it cannot take the whole machine between two looks of the watcher.
  if (!machine_->cgroups.limits_memory()) json.key("DataLimit").integer((2 * bounds.memory_bytes) + kReserve);
  json.end_object();
  return text;
}

Result<std::string> SandboxRuntime::code_folder(const Function& function) {
  std::optional<std::string> folder = unpacked_code(parts_.archive, function);
  if (!folder) {
    Result<std::string> bytes = parts_.code.code(function);
    if (!bytes) return bytes;
    Result<std::string> unpacked = parts_.archive.unpack(function, *bytes);
    if (!unpacked) return unpacked;
    folder = std::move(*unpacked);
  }
  const std::filesystem::path path(*folder);
  std::error_code error;
  if (!std::filesystem::equivalent(path.parent_path(), options_.code, error)) {
    return Unexpected(ErrorCode::kInternal, fmt::format("{} does not lie in {}", *folder, options_.code));
  }
  return path.filename().string();
}

Result<std::unique_ptr<Container>> SandboxRuntime::create(const Function& function, TimePoint deadline) {
  const Language* language = find(function.runtime);
  if (language == nullptr) {
    return Unexpected(ErrorCode::kNotFound,
                      fmt::format("the sandbox does not serve the runtime \"{}\" here", function.runtime));
  }
  Result<std::string> folder = code_folder(function);
  if (!folder) return Unexpected(folder.error());
  while (std::optional<Blank> blank = take_blank(language->runtime)) {
    Result<std::unique_ptr<Container>> container = specialise(std::move(*blank), function, *folder, deadline);
    // One of the stock may have died in this moment, with the launcher for one: that is not the function's
    // failure.
    if (container || container.error().code != ErrorCode::kUnavailable) return container;
  }
  Result<Blank> blank = start_blank(*language, deadline);
  if (!blank) return Unexpected(blank.error());
  return specialise(std::move(*blank), function, *folder, deadline);
}

Result<std::unique_ptr<Container>> SandboxRuntime::specialise(Blank blank, const Function& function,
                                                              const std::string& folder, TimePoint deadline) {
  if (Result<void> done = blank.instance->specialise(folder, limits(function), deadline); !done) {
    return Unexpected(done.error());
  }
  if (Result<void> told = blank.connection.load(load_text(function), deadline); !told)
    return Unexpected(told.error());
  auto container =
      std::make_unique<SandboxContainer>(function, std::move(blank.instance), frame_limits(), parts_.clock);
  if (Result<void> opened = container->open(std::move(blank.connection), deadline); !opened) {
    return Unexpected(opened.error());
  }
  return std::unique_ptr<Container>(std::move(container));
}

Result<SandboxRuntime::Blank> SandboxRuntime::start_blank(const Language& language, TimePoint deadline) {
  InstancePlan what;
  what.operation = language.operation;
  what.program = language.program;
  what.processes = options_.processes;
  what.tmp_bytes = options_.tmp_bytes;
  what.host_network = options_.host_network;
  what.unsafe = options_.unsafe;
  Result<std::unique_ptr<Instance>> instance = Instance::start(machine_, what, deadline);
  if (!instance) return Unexpected(instance.error());
  Result<FrameConnection> connection =
      FrameConnection::connect((*instance)->socket_path(), frame_limits(), (*instance)->death_fd(), deadline);
  if (!connection) return Unexpected(connection.error());
  Result<std::string> version = connection->ready(deadline);
  if (!version) {
    return Unexpected(version.error().code,
                      fmt::format("{} did not start: {}", language.program, version.error().message));
  }
  return Blank{std::move(*instance), std::move(*connection), std::move(*version)};
}

std::optional<SandboxRuntime::Blank> SandboxRuntime::take_blank(std::string_view runtime) {
  const std::scoped_lock guard(mutex_);
  const auto found = stock_.find(runtime);
  while (found != stock_.end() && !found->second.empty()) {
    Blank blank = std::move(found->second.front());
    found->second.pop_front();
    if (blank.instance->alive()) return blank;
  }
  return std::nullopt;
}

Result<void> SandboxRuntime::prepare(const Function& function, bool /*force_pull*/, TimePoint /*deadline*/) {
  Result<std::string> folder = code_folder(function);
  if (!folder) return Unexpected(folder.error());
  return {};
}

Result<std::vector<std::string>> SandboxRuntime::architectures(const Function& /*function*/) {
  return std::vector<std::string>{"amd64", "arm64"};  // source text runs on both
}

std::vector<StockPlan> SandboxRuntime::stock_plans() const {
  std::vector<StockPlan> plans;
  for (const Language& language : languages_) {
    if (language.stock.target > 0) plans.push_back(language.stock);
  }
  return plans;
}

int SandboxRuntime::stock(std::string_view runtime) const {
  const std::scoped_lock guard(mutex_);
  const auto found = stock_.find(runtime);
  return found == stock_.end() ? 0 : static_cast<int>(found->second.size());
}

Result<void> SandboxRuntime::add_stock(std::string_view runtime, TimePoint deadline) {
  const Language* language = find(runtime);
  if (language == nullptr) return Unexpected(ErrorCode::kNotFound, "no stock is kept of that runtime");
  Result<Blank> blank = start_blank(*language, deadline);
  if (!blank) return Unexpected(blank.error());
  const std::scoped_lock guard(mutex_);
  if (stopped_) return Unexpected(ErrorCode::kCancelled, "the sandbox runtime has been shut down");
  stock_[language->runtime].push_back(std::move(*blank));
  return {};
}

bool SandboxRuntime::drop_stock(std::string_view runtime) { return take_blank(runtime).has_value(); }

void SandboxRuntime::watch() {
  if (machine_->cgroups.limits_memory() && machine_->cgroups.limits_cpu()) return;
  int acted = 0;
  const TimePoint now = parts_.clock.now();
  machine_->for_each([&](Instance& instance) { acted += instance.watch(now) ? 1 : 0; });
  if (acted > 0) {
    parts_.observer.log(LogLevel::kWarning, "sandboxes over their limits were killed or slowed down",
                        {{"count", std::to_string(acted)}});
  }
}

void SandboxRuntime::shutdown() noexcept {
  std::map<std::string, std::deque<Blank>, std::less<>> stock;
  {
    const std::scoped_lock guard(mutex_);
    stopped_ = true;
    stock.swap(stock_);
  }
  machine_->launcher.stop();
  stock.clear();
  machine_->for_each([](Instance& instance) { instance.release(); });
}

}  // namespace serverledge
