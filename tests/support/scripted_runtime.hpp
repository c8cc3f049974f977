#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serverledge/core/container_runtime.hpp"

namespace serverledge {

/// A door that threads wait at until it is opened, or until they are killed.
class Gate {
 public:
  void open() {
    const std::scoped_lock lock(mutex_);
    opened_ = true;
    changed_.notify_all();
  }
  /// Whether it was opened (and not `killed` first).
  bool wait(const std::stop_token& killed) {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    const bool opened = changed_.wait(lock, killed, [this] { return opened_; });
    --waiting_;
    return opened;
  }
  /// Returns when that many threads wait at the door.
  void wait_for_waiting(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool opened_ = false;
  int waiting_ = 0;
};

/// A runtime whose containers are objects of this process, for tests that need to hold time still, or faults
/// that no real runtime makes on demand. Thread-safe once it is in use.
class ScriptedRuntime final : public ContainerRuntime {
 public:
  /// What a call of a function does; `killed` fires when its container is destroyed.
  using Script = std::function<Reply(const Function&, const Call&, const std::stop_token& killed)>;
  /// What a start does, before the container is there.
  using Start = std::function<Result<void>(const Function&)>;

  explicit ScriptedRuntime(Script script) : script_(std::move(script)) {}
  /// One whose functions give their params back.
  ScriptedRuntime()
      : ScriptedRuntime([](const Function&, const Call& call, const std::stop_token&) {
          return Reply{std::string(call.params), {}, {}, false};
        }) {}

  void on_start(Start start) { start_ = std::move(start); }
  void set_notices(std::vector<std::string> notices) { notices_ = std::move(notices); }

  int created() const { return created_; }
  int living() const { return living_; }
  int prepared() const { return prepared_; }

  Result<std::unique_ptr<Container>> create(const Function& function, TimePoint) override {
    if (start_) {
      if (Result<void> started = start_(function); !started) return Unexpected(std::move(started).error());
    }
    ++created_;
    return std::unique_ptr<Container>(std::make_unique<Scripted>(*this, function));
  }
  Result<void> prepare(const Function&, bool, TimePoint) override {
    ++prepared_;
    return {};
  }
  std::vector<Served> runtimes() const override {
    return {{"python314", "a script of the test"}, {"nodejs17ng", "a script of the test"}};
  }
  Result<std::vector<std::string>> architectures(const Function&) override {
    return std::vector<std::string>{"amd64", "arm64"};
  }
  std::vector<std::string> notices() const override { return notices_; }
  void shutdown() noexcept override { shutdown_.request_stop(); }

 private:
  class Scripted final : public Container {
   public:
    Scripted(ScriptedRuntime& runtime, Function function)
        : runtime_(runtime),
          function_(std::move(function)),
          on_shutdown_(runtime.shutdown_.get_token(), [this] { killed_.request_stop(); }) {
      ++runtime_.living_;
    }
    ~Scripted() override { Scripted::destroy(); }
    Reply invoke(const Call& call) override { return runtime_.script_(function_, call, killed_.get_token()); }
    void destroy() noexcept override {
      killed_.request_stop();
      if (!destroyed_.exchange(true)) --runtime_.living_;
    }

   private:
    ScriptedRuntime& runtime_;
    const Function function_;
    std::stop_source killed_;
    std::atomic<bool> destroyed_{false};
    std::stop_callback<std::function<void()>> on_shutdown_;
  };

  Script script_;
  Start start_;
  std::vector<std::string> notices_;
  std::atomic<int> created_{0};
  std::atomic<int> living_{0};
  std::atomic<int> prepared_{0};
  std::stop_source shutdown_;
};

}  // namespace serverledge
