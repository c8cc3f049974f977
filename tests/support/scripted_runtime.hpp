#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "serverledge/core/container_runtime.hpp"
#include "support/gate.hpp"

namespace serverledge::testing {

/// A runtime whose containers do what the test says: a double for faults and time, never for isolation.
/// Thread-safe.
class ScriptedRuntime final : public ContainerRuntime {
 public:
  /// What a call does; the default echoes the params.
  std::function<Reply(const Function&, const Call&)> on_call = [](const Function&, const Call& call) {
    return Reply{.result = std::string(call.params), .failure = {}, .output = {}, .doomed = false};
  };
  /// What a start does; the default succeeds at once.
  std::function<Result<void>(const Function&)> on_create = [](const Function&) { return Result<void>(); };

  /// From here on, calls with the params "hold" stay in their container until the gate is opened; the others
  /// echo theirs at once.
  void hold_at(test::Gate& gate) {
    on_call = [&gate](const Function&, const Call& call) {
      if (call.params == "\"hold\"") gate.wait();
      return Reply{.result = std::string(call.params), .failure = {}, .output = {}, .doomed = false};
    };
  }

  std::atomic<int> created{0};
  std::atomic<int> living{0};
  std::atomic<int> calls_at_once_worst{0};  ///< most calls ever inside one container
  std::atomic<bool> kill_idle{false};       ///< containers report to be dead while idle, once each

  Result<std::unique_ptr<Container>> create(const Function& function, TimePoint /*deadline*/) override {
    if (Result<void> made = on_create(function); !made) return Unexpected(made.error());
    ++created;
    return std::unique_ptr<Container>(new Scripted(*this, function));
  }
  Result<void> prepare(const Function& /*function*/, bool /*force_pull*/, TimePoint /*deadline*/) override {
    ++prepared;
    return {};
  }
  std::vector<Served> runtimes() const override {
    return {{"python314", "a scripted double"}, {"nodejs17ng", "a scripted double"}};
  }
  Result<std::vector<std::string>> architectures(const Function& /*function*/) override {
    return std::vector<std::string>{"amd64", "arm64"};
  }
  void shutdown() noexcept override {}

  std::atomic<int> prepared{0};

 private:
  class Scripted final : public Container {
   public:
    Scripted(ScriptedRuntime& home, Function function) : home_(home), function_(std::move(function)) {
      ++home_.living;
    }
    ~Scripted() override { destroy(); }
    Reply invoke(const Call& call) override {
      const int inside = ++inside_;
      int worst = home_.calls_at_once_worst.load();
      while (inside > worst && !home_.calls_at_once_worst.compare_exchange_weak(worst, inside)) {
      }
      Reply reply = home_.on_call(function_, call);
      --inside_;
      return reply;
    }
    void destroy() noexcept override {
      if (!destroyed_.exchange(true)) --home_.living;
    }
    bool alive() const noexcept override { return !home_.kill_idle.load(); }

   private:
    ScriptedRuntime& home_;
    const Function function_;
    std::atomic<int> inside_{0};
    std::atomic<bool> destroyed_{false};
  };
};

}  // namespace serverledge::testing
