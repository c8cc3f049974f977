#pragma once

#include <functional>
#include <memory>
#include <string>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/configuration.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// What a process of ours runs until a signal stops it.
class Service {
 public:
  virtual ~Service() = default;
  virtual Result<void> start() = 0;
  /// Returns when nothing runs any more, after `drain` at the latest; a second call with a shorter time, by
  /// another thread, shortens the first.
  virtual void stop(Duration drain) = 0;
};

/// A `Service` that is a node, a load balancer, or whatever else starts and stops alike.
template <typename Opened>
class ServiceOf final : public Service {
 public:
  explicit ServiceOf(std::unique_ptr<Opened> opened) : opened_(std::move(opened)) {}
  Result<void> start() override { return opened_->start(); }
  void stop(Duration drain) override { opened_->stop(drain); }
  static Result<std::unique_ptr<Service>> of(Result<std::unique_ptr<Opened>> opened) {
    if (!opened) return Unexpected(std::move(opened).error());
    return std::unique_ptr<Service>(std::make_unique<ServiceOf>(std::move(*opened)));
  }

 private:
  std::unique_ptr<Opened> opened_;
};

/// A program: what its command line says of itself, and what it runs.
struct ServiceProgram {
  std::string name;         ///< of the executable
  std::string description;  ///< one sentence
  std::string footer;       ///< of --help
  bool runs_functions = false;
  /// kInvalid if the configuration makes no sense for it; touches nothing of the machine.
  std::function<Result<void>(const Configuration&)> check;
  std::function<Result<std::unique_ptr<Service>>(const Configuration&)> open;
};

/// Reads the command line and the configuration and runs the service until SIGTERM or SIGINT, or does what an
/// option asks for instead (--check-config, --print-config, --version, --help). What is wrong is said on
/// stderr. Returns what the process exits with: 0 stopped as asked, or nothing to do; 1 wrong usage, or an
/// error in the configuration; 2 could not be started; 3 stopped at once by a second signal.
int run_service(const ServiceProgram& program, int argc, char** argv);

}  // namespace serverledge
