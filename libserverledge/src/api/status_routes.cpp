#include "api/status_routes.hpp"

#include <array>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <string>

#include "api/answers.hpp"
#include "api/request_fields.hpp"
#include "serverledge/core/json.hpp"
#include "serverledge/core/status_report.hpp"

namespace serverledge {
namespace {

std::array<double, 3> load_averages() {
  std::array<double, 3> averages{-1, -1, -1};
  if (getloadavg(averages.data(), 3) != 3) return {-1, -1, -1};
  return averages;
}

}  // namespace

std::string StatusRoutes::status_text() const {
  StatusReport report = status_report(node_.status());
  if (coordinates_) report.coordinates = coordinates_();
  report.load_average = load_averages();
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(node_.clock().wall().time_since_epoch());
  report.last_update = now.count();
  return to_json(report);
}

HttpResponse StatusRoutes::status() const { return json_answer(200, status_text()); }

HttpResponse StatusRoutes::prewarm(const HttpRequest& request) {
  RequestFields fields(request.body);
  const std::string_view function = fields.text("Function");
  const auto instances = static_cast<int>(fields.integer("Instances", 0, 0, std::numeric_limits<int>::max()));
  const bool force_pull = fields.boolean("ForceImagePull", false);
  if (fields.failure()) return error_answer(*fields.failure());
  const Result<int> prewarmed = node_.prewarm(function, instances, force_pull);
  if (!prewarmed) {
    if (prewarmed.error().code == ErrorCode::kNotFound) return HttpResponse::text(404, "Function unknown");
    return error_answer(prewarmed.error());
  }
  std::string body;
  JsonWriter(body).begin_object().key("Prewarmed").integer(*prewarmed).end_object();
  return json_answer(200, std::move(body));
}

HttpResponse StatusRoutes::health() const { return HttpResponse::text(200, "ok"); }

HttpResponse StatusRoutes::readiness() const {
  if (node_.stopping()) return HttpResponse::text(503, "draining");
  if (!ready_) return HttpResponse::text(503, "starting");
  if (std::string obstacle = obstacle_ ? obstacle_() : ""; !obstacle.empty())
    return HttpResponse::text(503, std::move(obstacle));
  return HttpResponse::text(200, "ready");
}

}  // namespace serverledge
