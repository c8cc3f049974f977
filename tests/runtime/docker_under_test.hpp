#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/runtime_under_test.hpp"
#include "serverledge/net/address_ranges.hpp"
#include "serverledge/runtime/code_archive.hpp"
#include "serverledge/runtime/docker_runtime.hpp"
#include "serverledge/runtime/node_lock.hpp"
#include "support/docker_engine.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {

/// Keeps what is logged.
class LogKeeper final : public Observer {
 public:
  void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) override;
  std::string text() const;

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

/// What is not as usual.
struct DockerSetup {
  std::function<void(DockerOptions&)> adjust = {};
  std::string store = {};     ///< another's
  std::string run_root = {};  ///< another's
};

/// The Docker runtime, with locks and store of its own.
class DockerUnderTest final : public RuntimeUnderTest {
 public:
  explicit DockerUnderTest(const std::string& host, const DockerSetup& setup = {});

  ContainerRuntime& runtime() override { return *runtime_; }
  bool bounds_memory() const override { return true; }
  bool sees_stops() const override { return false; }

  /// A function of an image that has its code.
  static Function custom(const std::string& image);
  /// A function of Go's runtime.
  Function go(const std::string& tar, const char* handler) { return add("go125", handler, tar); }
  const NodeLock& lock() const { return *lock_; }
  const AddressRanges& networks() const { return networks_; }
  const std::string& store() const { return store_; }
  std::string log() const { return observer_.text(); }
  /// The label that its containers carry.
  std::string label() const { return "serverledge.node%3D" + lock_->id(); }
  /// The path of its network in the engine's API.
  std::string network() const { return "/networks/serverledge-" + lock_->id(); }
  /// Whether its containers are gone from the engine, if not at once then with what its upkeep does.
  bool leaves_nothing(const DockerEngine& engine);
  /// Ends the runtime and gives up the lock, as a node does that stops.
  void stop();

 private:
  CodeArchive& archive() override { return *archive_; }

  TemporaryFolder folder_;
  const std::string store_;
  LogKeeper observer_;
  AddressRanges networks_;
  std::optional<NodeLock> lock_;
  std::unique_ptr<CodeArchive> archive_;
  std::unique_ptr<ContainerRuntime> runtime_;
};

/// The point in time in so many seconds.
inline TimePoint within(double time) { return later(system_clock().now(), from_seconds(time)); }

/// Ends the test as skipped if the engine lacks an image that examples/images/build.sh makes.
void require_image(const DockerEngine& engine, const std::string& reference);

/// Calls the tiny image's program three times: each answer is what it was given.
void check_echoes(Container& container);

}  // namespace serverledge::test
