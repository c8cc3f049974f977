#include "runtime/sandbox_under_test.hpp"

#include <catch2/catch.hpp>
#include <chrono>

#include "support/skip.hpp"

namespace serverledge::test {

std::unique_ptr<RuntimeUnderTest> make_runtime_under_test() { return std::make_unique<SandboxUnderTest>(); }

SandboxUnderTest::SandboxUnderTest(void (*adjust)(SandboxOptions&), const std::string& store,
                                   const std::string& run_root)
    : store_(store.empty() ? folder_.file("store") : store) {
  Result<NodeLock> lock = NodeLock::acquire(store_, run_root.empty() ? folder_.file("run") : run_root);
  if (!lock) FAIL(lock.error().message);
  lock_.emplace(std::move(*lock));
  Result<std::unique_ptr<CodeArchive>> archive =
      make_code_archive({.folder = store_ + "/code"}, system_clock());
  if (!archive) FAIL(archive.error().message);
  archive_ = std::move(*archive);
  SandboxOptions options;
  options.code = store_ + "/code";
  options.start_timeout = std::chrono::minutes(10);  // machines are slow at times, and some only emulated
  if (adjust != nullptr) adjust(options);
  Result<std::unique_ptr<ContainerRuntime>> runtime =
      make_sandbox_runtime(options, *lock_, *archive_, codes_, observer_, system_clock());
  if (!runtime && runtime.error().code == ErrorCode::kUnsupported) skip_test(runtime.error().message);
  if (!runtime) FAIL(runtime.error().message);
  runtime_ = std::move(*runtime);
}

bool SandboxUnderTest::bounds_memory() const {
  // Without control groups the node's upkeep does it, which is not here.
  for (const std::string& notice : runtime_->notices()) {
    if (notice.find("memory of sandboxes") != std::string::npos) return false;
  }
  return true;
}

void SandboxUnderTest::stop() {
  runtime_.reset();
  lock_.reset();
}

}  // namespace serverledge::test
