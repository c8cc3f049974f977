#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "serverledge/core/observer.hpp"

namespace serverledge::test {

/// Writes down what is logged: "event field=value ...".
class RecordingObserver final : public Observer {
 public:
  void log(LogLevel /*level*/, std::string_view event, std::initializer_list<LogField> fields) override {
    std::string line(event);
    for (const auto& [name, value] : fields) line.append(" ").append(name).append("=").append(value);
    const std::scoped_lock lock(mutex_);
    lines_.push_back(line);
  }
  std::vector<std::string> lines() const {
    const std::scoped_lock lock(mutex_);
    return lines_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

}  // namespace serverledge::test
