#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/frame_connection.hpp"
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
  /// `hidden` are folders that sandboxes must not see.
  SandboxRuntime(SandboxOptions options, std::shared_ptr<Machine> machine, Parts parts,
                 std::vector<std::string> hidden);
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
  struct Language {
    sl_operation operation;
    std::string runtime;  ///< canonical name
    std::string program;  ///< interpreter
    StockPlan stock;
  };
  /// A started worker that is no function yet.
  struct Blank {
    std::unique_ptr<Instance> instance;
    FrameConnection connection;
    std::string version;
  };

  /// The folder's name, below `options_.code`, of the function's code.
  Result<std::string> code_folder(const Function& function);
  CgroupLimits limits(const Function& function) const;
  FrameLimits frame_limits() const { return {options_.result_bytes, options_.output_bytes}; }
  /// What a worker is told to become.
  std::string load_text(const Function& function) const;
  const Language* find(std::string_view runtime) const;
  Result<std::unique_ptr<Container>> specialise(Blank blank, const Function& function,
                                                const std::string& folder, TimePoint deadline);
  Result<Blank> start_blank(const Language& language, TimePoint deadline);
  std::optional<Blank> take_blank(std::string_view runtime);
  /// Tries a language: an instance of it from its start to its end.
  Result<void> serve(Language language, TimePoint deadline);

  const SandboxOptions options_;
  const std::shared_ptr<Machine> machine_;
  const Parts parts_;
  const std::vector<std::string> hidden_;
  std::vector<Language> languages_;
  std::vector<Served> served_;
  std::vector<std::string> notices_;
  mutable std::mutex mutex_;
  std::map<std::string, std::deque<Blank>, std::less<>> stock_;
  bool stopped_ = false;
};

}  // namespace serverledge
