#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <utility>

#include "serverledge/core/status_report.hpp"
#include "serverledge/net/http_message.hpp"
#include "serverledge/node/node.hpp"

namespace serverledge {

/// Answers what concerns the node as a whole: `/status`, `/prewarm`, `/healthz`, `/readyz`. Thread-safe; the
/// node must outlive it.
class StatusRoutes {
 public:
  StatusRoutes(Node& node, std::function<Coordinates()> coordinates, std::function<std::string()> obstacle)
      : node_(node), coordinates_(std::move(coordinates)), obstacle_(std::move(obstacle)) {}

  HttpResponse status() const;
  /// The object that `/status` answers.
  std::string status_text() const;
  HttpResponse prewarm(const HttpRequest& request);
  HttpResponse health() const;
  HttpResponse readiness() const;

  void set_ready(bool ready) { ready_ = ready; }

 private:
  Node& node_;
  const std::function<Coordinates()> coordinates_;
  const std::function<std::string()> obstacle_;
  std::atomic<bool> ready_{false};
};

}  // namespace serverledge
