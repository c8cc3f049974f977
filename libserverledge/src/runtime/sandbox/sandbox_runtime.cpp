#include "runtime/sandbox/sandbox_runtime.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>

#include "runtime/sandbox/sandbox_container.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

constexpr std::string_view kPython = "python314";
constexpr std::string_view kNodejs = "nodejs17ng";
constexpr std::uint64_t kReserve = std::uint64_t{1} << 30U;

/// What the Python worker is told at its start.
std::string python_config(const Function& function, const FrameLimits& limits) {
  std::string text;
  JsonWriter(text)
      .begin_object()
      .key("Handler")
      .string(function.handler)
      .key("Slots")
      .integer(std::max(1, function.max_concurrency))
      .key("OutputLimit")
      .integer(static_cast<std::int64_t>(limits.output_bytes))
      .key("ResultLimit")
      .integer(static_cast<std::int64_t>(limits.result_bytes))
      .end_object();
  return text;
}

/// What a Node.js worker is told to become.
std::string nodejs_load(const Function& function, const FrameLimits& limits) {
  std::string text;
  JsonWriter(text)
      .begin_object()
      .key("Handler")
      .string(function.handler)
      .key("OutputLimit")
      .integer(static_cast<std::int64_t>(limits.output_bytes))
      .key("ResultLimit")
      .integer(static_cast<std::int64_t>(limits.result_bytes))
      .end_object();
  return text;
}

}  // namespace

SandboxRuntime::SandboxRuntime(SandboxOptions options, std::shared_ptr<Machine> machine, Parts parts)
    : options_(std::move(options)), machine_(std::move(machine)), parts_(parts) {}

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
  std::vector<Error> errors;
  auto attempt = [&](const std::string& path, const char* key,
                     Result<void> (SandboxRuntime::*serve)(TimePoint)) {
    if (path.empty()) return;
    if (::access(path.c_str(), X_OK) != 0) {
      errors.push_back({ErrorCode::kUnavailable, fmt::format("{}: {} is not there", key, path), {}});
    } else if (Result<void> served = (this->*serve)(deadline); !served) {
      errors.push_back(served.error());
    }
  };
  attempt(options_.python, "sandbox.python", &SandboxRuntime::try_python);
  attempt(options_.node, "sandbox.node", &SandboxRuntime::try_nodejs);
  if (served_.empty()) {
    return Unexpected(errors.empty()
                          ? Error{ErrorCode::kInvalid, "neither sandbox.python nor sandbox.node is set", {}}
                          : errors.front());
  }
  for (const Error& error : errors) {
    if (error.code == ErrorCode::kUnsupported) return Unexpected(error);  // isolation, not a missing program
    notices_.push_back(fmt::format("{}; its functions are not served", error.message));
  }
  return {};
}

Result<void> SandboxRuntime::try_python(TimePoint deadline) {
  Result<std::string> version = machine_->launcher.start_zygote(deadline);
  if (!version) return Unexpected(version.error());
  InstancePlan trial = plan(SL_PYTHON, {});
  Function none;
  none.handler = "none.none";
  trial.config = python_config(none, frame_limits());
  Result<std::unique_ptr<Instance>> instance = Instance::start(machine_, trial, deadline);
  if (!instance) return Unexpected(instance.error());
  note_missing((*instance)->missing());
  served_.push_back({std::string(kPython), *version});
  return {};
}

Result<void> SandboxRuntime::try_nodejs(TimePoint deadline) {
  Result<Blank> blank = start_blank(deadline);
  if (!blank) return Unexpected(blank.error());
  note_missing(blank->instance->missing());
  served_.push_back({std::string(kNodejs), blank->version});
  return {};
}

void SandboxRuntime::note_missing(std::uint32_t missing) {
  for (std::string& sentence : missing_isolation(missing)) {
    if (std::find(notices_.begin(), notices_.end(), sentence) == notices_.end())
      notices_.push_back(std::move(sentence));
  }
}

InstancePlan SandboxRuntime::plan(sl_operation operation, const CgroupLimits& limits) const {
  InstancePlan plan;
  plan.operation = operation;
  plan.limits = limits;
  plan.tmp_bytes = options_.tmp_bytes;
  plan.host_network = options_.host_network;
  plan.unsafe = options_.unsafe;
  return plan;
}

CgroupLimits SandboxRuntime::limits(const Function& function) const {
  return {function.memory_mb << 20U, function.cpu_demand,
          options_.processes + std::max(1, function.max_concurrency)};
}

Result<std::string> SandboxRuntime::code_folder(const Function& function) {
  std::optional<std::string> folder = parts_.archive.folder(function.code_digest);
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
  if (!serves(function.runtime)) {
    return Unexpected(ErrorCode::kNotFound,
                      fmt::format("the sandbox does not serve the runtime \"{}\" here", function.runtime));
  }
  return function.runtime == kPython ? create_python(function, deadline) : create_nodejs(function, deadline);
}

Result<std::unique_ptr<Container>> SandboxRuntime::create_python(const Function& function,
                                                                 TimePoint deadline) {
  Result<std::string> folder = code_folder(function);
  if (!folder) return Unexpected(folder.error());
  InstancePlan what = plan(SL_PYTHON, limits(function));
  what.code = *folder;
  what.config = python_config(function, frame_limits());
  // Only so that it cannot take the whole machine between two looks of the watcher: address space that is
  // reserved and not used counts here too, threads' stacks for one.
  if (!machine_->cgroups.limits_memory())
    what.data_bytes = (std::uint64_t{2} * limits(function).memory_bytes) + kReserve;
  Result<std::unique_ptr<Instance>> instance = Instance::start(machine_, what, deadline);
  if (!instance) return Unexpected(instance.error());
  auto container =
      std::make_unique<SandboxContainer>(function, std::move(*instance), frame_limits(), parts_.clock);
  if (Result<void> opened = container->open(std::nullopt, deadline); !opened)
    return Unexpected(opened.error());
  return std::unique_ptr<Container>(std::move(container));
}

Result<std::unique_ptr<Container>> SandboxRuntime::create_nodejs(const Function& function,
                                                                 TimePoint deadline) {
  Result<std::string> folder = code_folder(function);
  if (!folder) return Unexpected(folder.error());
  std::optional<Blank> blank = take_blank();
  if (!blank) {
    Result<Blank> fresh = start_blank(deadline);
    if (!fresh) return Unexpected(fresh.error());
    blank.emplace(std::move(*fresh));
  }
  if (Result<void> done = blank->instance->specialise(*folder, limits(function), deadline); !done) {
    return Unexpected(done.error());
  }
  Result<void> told = blank->connection.load(nodejs_load(function, frame_limits()), deadline);
  auto container =
      std::make_unique<SandboxContainer>(function, std::move(blank->instance), frame_limits(), parts_.clock);
  // If the telling failed, so does the waiting, and says why.
  if (Result<void> opened = container->open(std::move(blank->connection), deadline); !opened || !told) {
    return Unexpected(opened ? told.error() : opened.error());
  }
  return std::unique_ptr<Container>(std::move(container));
}

Result<SandboxRuntime::Blank> SandboxRuntime::start_blank(TimePoint deadline) {
  InstancePlan what = plan(SL_NODEJS, {.processes = options_.processes});
  what.config = options_.node;
  Result<std::unique_ptr<Instance>> instance = Instance::start(machine_, what, deadline);
  if (!instance) return Unexpected(instance.error());
  Result<FrameConnection> connection =
      FrameConnection::connect((*instance)->socket_path(), frame_limits(), (*instance)->death_fd(), deadline);
  if (!connection) return Unexpected(connection.error());
  Result<std::string> version = connection->ready(deadline);
  if (!version) {
    return Unexpected(version.error().code,
                      fmt::format("{} did not start: {}", options_.node, version.error().message));
  }
  return Blank{std::move(*instance), std::move(*connection), std::move(*version)};
}

std::optional<SandboxRuntime::Blank> SandboxRuntime::take_blank() {
  const std::scoped_lock guard(mutex_);
  while (!stock_.empty()) {
    Blank blank = std::move(stock_.front());
    stock_.pop_front();
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
  if (!serves(kNodejs) || options_.nodejs_stock <= 0) return {};
  return {{std::string(kNodejs), options_.stock_memory_mb, options_.nodejs_stock}};
}

int SandboxRuntime::stock(std::string_view runtime) const {
  const std::scoped_lock guard(mutex_);
  return runtime == kNodejs ? static_cast<int>(stock_.size()) : 0;
}

Result<void> SandboxRuntime::add_stock(std::string_view runtime, TimePoint deadline) {
  if (runtime != kNodejs) return Unexpected(ErrorCode::kNotFound, "no stock is kept of that runtime");
  Result<Blank> blank = start_blank(deadline);
  if (!blank) return Unexpected(blank.error());
  const std::scoped_lock guard(mutex_);
  if (stopped_) return Unexpected(ErrorCode::kCancelled, "the sandbox runtime has been shut down");
  stock_.push_back(std::move(*blank));
  return {};
}

bool SandboxRuntime::drop_stock(std::string_view runtime) {
  if (runtime != kNodejs) return false;
  return take_blank().has_value();
}

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
  std::deque<Blank> stock;
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
