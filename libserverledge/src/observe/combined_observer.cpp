#include "serverledge/observe/combined_observer.hpp"

#include <utility>

namespace serverledge {
namespace {

class CombinedObserver final : public Observer {
 public:
  explicit CombinedObserver(std::vector<std::shared_ptr<Observer>> observers)
      : observers_(std::move(observers)) {}

  void began(Invocation& invocation) override {
    for (const auto& observer : observers_) observer->began(invocation);
  }
  void entered(Invocation& invocation, Stage stage) override {
    for (const auto& observer : observers_) observer->entered(invocation, stage);
  }
  void passed(const Invocation& invocation, const StagePassed& passed) override {
    for (const auto& observer : observers_) observer->passed(invocation, passed);
  }
  void completed(const Invocation& invocation, const ExecutionReport& report) override {
    for (const auto& observer : observers_) observer->completed(invocation, report);
  }
  void rejected(const Invocation& invocation, const Error& error) override {
    for (const auto& observer : observers_) observer->rejected(invocation, error);
  }
  void container_started(const Function& function, Duration init_time, std::string_view request) override {
    for (const auto& observer : observers_) observer->container_started(function, init_time, request);
  }
  void container_failed(const Function& function, const Error& error, std::string_view request) override {
    for (const auto& observer : observers_) observer->container_failed(function, error, request);
  }
  void container_gone(const Function& function, std::string_view reason, std::string_view request) override {
    for (const auto& observer : observers_) observer->container_gone(function, reason, request);
  }
  void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) override {
    for (const auto& observer : observers_) observer->log(level, event, fields);
  }

 private:
  const std::vector<std::shared_ptr<Observer>> observers_;
};

}  // namespace

std::shared_ptr<Observer> combine(std::vector<std::shared_ptr<Observer>> observers) {
  if (observers.size() == 1) return std::move(observers.front());
  return std::make_shared<CombinedObserver>(std::move(observers));
}

}  // namespace serverledge
