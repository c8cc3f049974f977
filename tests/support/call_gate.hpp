#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace serverledge::test {

/// A door in the test at which functions of a real node wait, so that a test can hold calls inside for as
/// long as it needs, without guessing times. The node must run with `sandbox.network` "host", which
/// `settings` of the tests say.
class CallGate {
 public:
  CallGate();
  ~CallGate();
  CallGate(const CallGate&) = delete;
  CallGate& operator=(const CallGate&) = delete;

  int port() const { return port_; }
  /// Python source: a function `wait_at_gate(name)` that returns when the gate lets it.
  std::string python() const;
  /// Source of a module whose handler waits at the gate by the name in its params' "name", and returns it.
  std::string waiting_handler() const;

  /// Waits until that many calls have come to the gate, ever; false if they have not within a minute.
  bool wait_for_arrivals(std::size_t count);
  /// Who has come, in their order.
  std::vector<std::string> arrived();
  /// Lets all through that are there, and those that come later.
  void open();

 private:
  void accept_all();
  void serve(int connection);

  int listener_ = -1;
  int port_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> arrived_;
  std::vector<int> waiting_;
  bool open_ = false;
  std::jthread thread_;
};

}  // namespace serverledge::test
