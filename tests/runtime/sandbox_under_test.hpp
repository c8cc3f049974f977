#pragma once

#include <memory>
#include <optional>
#include <string>

#include "runtime/runtime_under_test.hpp"
#include "serverledge/runtime/node_lock.hpp"
#include "serverledge/runtime/sandbox_runtime.hpp"
#include "support/folder_archive.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {

/// The sandbox runtime, with locks and store of its own.
class SandboxUnderTest final : public RuntimeUnderTest {
 public:
  /// `adjust` may change the options before the start.
  explicit SandboxUnderTest(void (*adjust)(SandboxOptions&) = nullptr);

  ContainerRuntime& runtime() override { return *runtime_; }
  Function python(const std::string& source) override;
  Function nodejs(const std::string& source) override;
  bool bounds_memory() const override { return true; }

  const NodeLock& lock() const { return *lock_; }
  std::string store() const { return folder_.file("store"); }
  /// Ends the runtime and gives up the lock, as a node does that stops.
  void stop();

 private:
  Function add(const char* runtime, const char* handler, const char* file, const std::string& source);

  TemporaryFolder folder_;
  Observer observer_;
  std::optional<NodeLock> lock_;
  FolderArchive archive_;
  std::unique_ptr<ContainerRuntime> runtime_;
};

}  // namespace serverledge::test
