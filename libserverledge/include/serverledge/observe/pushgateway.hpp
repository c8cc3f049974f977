#pragma once

#include <functional>
#include <memory>
#include <string>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/net/http_client.hpp"

namespace serverledge {

struct PushgatewayOptions {
  HttpTarget gateway;
  std::string job = "serverledge";
  std::string node;  ///< value of the grouping label `node`: "(area)key"
  Duration interval = std::chrono::seconds(30);
};

/// Puts a node's metrics to a Prometheus Pushgateway at once, every `interval`, and at its end, on a thread
/// of its own. A gateway that does not answer is told to the observer, and costs a few seconds of that
/// thread. The destructor returns within 3 s.
class PushgatewayPusher {
 public:
  /// `text` gives the metrics and is called on that thread. Observer and clock must outlive this.
  PushgatewayPusher(PushgatewayOptions options, std::function<std::string()> text, Observer& observer,
                    Clock& clock);
  ~PushgatewayPusher();
  PushgatewayPusher(const PushgatewayPusher&) = delete;
  PushgatewayPusher& operator=(const PushgatewayPusher&) = delete;

 private:
  class Thread;
  std::unique_ptr<Thread> thread_;
};

}  // namespace serverledge
