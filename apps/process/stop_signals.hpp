#pragma once

namespace serverledge {

/// SIGINT and SIGTERM as events to wait for. They are blocked for this thread and all that it starts from
/// then on, so make it before the first one. One per process.
class StopSignals {
 public:
  /// Throws std::system_error if the kernel refuses.
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// Waits for the next signal and returns its number; 0 as soon as `instead`, a descriptor, is readable (-1:
  /// none).
  int wait(int instead = -1);

 private:
  int signals_ = -1;
};

}  // namespace serverledge
