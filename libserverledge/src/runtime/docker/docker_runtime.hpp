#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/docker/container_network.hpp"
#include "runtime/docker/container_spec.hpp"
#include "runtime/docker/docker_container.hpp"
#include "runtime/docker/image_store.hpp"
#include "serverledge/runtime/docker_runtime.hpp"

namespace serverledge {

/// The runtime of make_docker_runtime.
class DockerRuntime final : public ContainerRuntime {
 public:
  struct Parts {
    const NodeLock& lock;
    CodeArchive& archive;
    CodeSource& code;
    AddressRanges& networks;
  };
  DockerRuntime(std::shared_ptr<Engine> engine, Parts parts);
  ~DockerRuntime() override;

  /// Meets the engine, once: its version, and what earlier nodes left in it.
  Result<void> open(TimePoint deadline);

  Result<std::unique_ptr<Container>> create(const Function& function, TimePoint deadline) override;
  Result<void> prepare(const Function& function, bool force_pull, TimePoint deadline) override;
  std::vector<Served> runtimes() const override;
  Result<std::vector<std::string>> architectures(const Function& function) override;
  std::vector<std::string> notices() const override { return notices_; }
  void watch() override;
  void shutdown() noexcept override;

 private:
  /// Has the network for containers, once: at the first of them.
  Result<void> open_network(TimePoint deadline);
  /// The image of a function: as configured, or the first of the usual ones that is here, or the last.
  Result<std::string> image_of(const Function& function, TimePoint deadline);
  Result<std::unique_ptr<Container>> create_once(const Function& function, TimePoint deadline);
  Result<std::unique_ptr<Container>> create_with(const Function& function, const std::string& reference,
                                                 const Image& image, TimePoint deadline);
  Result<std::string> code_folder(const Function& function);
  CodePlace code_place(const Function& function) const;

  const std::shared_ptr<Engine> engine_;
  const Parts parts_;
  ImageStore images_;
  ContainerNetwork network_;
  std::vector<std::string> notices_;
  std::mutex open_mutex_;
  std::atomic<bool> opened_ = false;
  std::atomic<bool> networked_ = false;
  std::atomic<bool> sees_folders_ = true;  // the engine can bind ours
  std::atomic<bool> stopped_ = false;
  TimePoint next_try_{};  // the upkeep's
};

}  // namespace serverledge
