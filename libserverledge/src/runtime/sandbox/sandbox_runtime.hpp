#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/sandbox/frame_connection.hpp"
#include "runtime/sandbox/instance.hpp"
#include "serverledge/core/container_runtime.hpp"
#include "serverledge/runtime/sandbox_runtime.hpp"

namespace serverledge {

/// The runtime of make_sandbox_runtime.
class SandboxRuntime final : public ContainerRuntime {
 public:
  struct Parts {
    CodeArchive& archive;
    CodeSource& code;
    Observer& observer;
    Clock& clock;
  };
  SandboxRuntime(SandboxOptions options, std::shared_ptr<Machine> machine, Parts parts);
  ~SandboxRuntime() override;

  /// Starts what serves each language and tries it. kUnsupported, kUnavailable.
  Result<void> open(TimePoint deadline);

  Result<std::unique_ptr<Container>> create(const Function& function, TimePoint deadline) override;
  Result<void> prepare(const Function& function, bool force_pull, TimePoint deadline) override;
  std::vector<Served> runtimes() const override { return served_; }
  Result<std::vector<std::string>> architectures(const Function& function) override;
  std::vector<std::string> notices() const override { return notices_; }
  std::vector<StockPlan> stock_plans() const override;
  int stock(std::string_view runtime) const override;
  Result<void> add_stock(std::string_view runtime, TimePoint deadline) override;
  bool drop_stock(std::string_view runtime) override;
  void watch() override;
  void shutdown() noexcept override;

 private:
  /// A started worker that is no function yet.
  struct Blank {
    std::unique_ptr<Instance> instance;
    FrameConnection connection;
    std::string version;
  };

  /// The folder's name, below `options_.code`, of the function's code.
  Result<std::string> code_folder(const Function& function);
  InstancePlan plan(sl_operation operation, const CgroupLimits& limits) const;
  CgroupLimits limits(const Function& function) const;
  FrameLimits frame_limits() const { return {options_.result_bytes, options_.output_bytes}; }
  Result<std::unique_ptr<Container>> create_python(const Function& function, TimePoint deadline);
  Result<std::unique_ptr<Container>> create_nodejs(const Function& function, TimePoint deadline);
  Result<Blank> start_blank(TimePoint deadline);
  std::optional<Blank> take_blank();
  Result<void> try_python(TimePoint deadline);
  Result<void> try_nodejs(TimePoint deadline);
  /// Refuses, or notes, what an instance lacks.
  void note_missing(std::uint32_t missing);

  const SandboxOptions options_;
  const std::shared_ptr<Machine> machine_;
  const Parts parts_;
  std::vector<Served> served_;
  std::vector<std::string> notices_;
  mutable std::mutex mutex_;
  std::deque<Blank> stock_;
  bool stopped_ = false;
};

}  // namespace serverledge
