#pragma once

#include <memory>
#include <optional>
#include <string>

#include "runtime/runtime_under_test.hpp"
#include "serverledge/runtime/code_archive.hpp"
#include "serverledge/runtime/node_lock.hpp"
#include "serverledge/runtime/sandbox_runtime.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {

/// The sandbox runtime, with locks and store of its own.
class SandboxUnderTest final : public RuntimeUnderTest {
 public:
  /// `adjust` may change the options before the start; `store` and `run_root` may be those of another.
  explicit SandboxUnderTest(void (*adjust)(SandboxOptions&) = nullptr, const std::string& store = "",
                            const std::string& run_root = "");

  ContainerRuntime& runtime() override { return *runtime_; }
  bool bounds_memory() const override;
  bool sees_stops() const override { return true; }

  const NodeLock& lock() const { return *lock_; }
  const std::string& store() const { return store_; }
  /// The folder of a function's unpacked code; empty if it is not unpacked.
  std::string code_folder(const Function& function) const {
    return unpacked_code(*archive_, function).value_or("");
  }
  /// Ends the runtime and gives up the lock, as a node does that stops.
  void stop();

 private:
  CodeArchive& archive() override { return *archive_; }

  TemporaryFolder folder_;
  const std::string store_;
  Observer observer_;
  std::optional<NodeLock> lock_;
  std::unique_ptr<CodeArchive> archive_;
  std::unique_ptr<ContainerRuntime> runtime_;
};

}  // namespace serverledge::test
