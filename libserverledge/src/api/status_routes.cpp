#include "api/status_routes.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <string>

#include "api/answers.hpp"
#include "api/request_fields.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

/// Where a node stands in the network before it has measured any: the origin, with the largest error.
constexpr std::string_view kOrigin = R"({"Vec":[0,0,0],"Error":1.5,"Height":0.00001})";

std::array<double, 3> load_averages() {
  std::array<double, 3> averages{-1, -1, -1};
  if (getloadavg(averages.data(), 3) != 3) return {-1, -1, -1};
  return averages;
}

}  // namespace

HttpResponse StatusRoutes::status() const {
  NodeStatus status = node_.status();
  std::sort(status.warm_containers.begin(), status.warm_containers.end());
  const PoolView& pool = status.pool;
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("AvailableWarmContainers").begin_object();
  for (const auto& [function, warm] : status.warm_containers) json.key(function).integer(warm);
  json.end_object();
  json.key("TotalMemory").integer(pool.total.memory_mb);
  json.key("AvailableMemory").integer(pool.total.memory_mb - pool.busy.memory_mb);
  json.key("FreeMemory").integer(pool.total.memory_mb - pool.held.memory_mb);
  json.key("TotalCPU").number(pool.total.cores());
  json.key("UsedCPU").number(pool.busy.cores());
  json.key("Coordinates").raw(kOrigin);
  json.key("LoadAvg").begin_array();
  for (const double load : load_averages()) json.number(load);
  json.end_array();
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(node_.clock().wall().time_since_epoch());
  json.key("LastUpdateTime").integer(now.count());
  json.end_object();
  return json_answer(200, std::move(body));
}

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
  return HttpResponse::text(200, "ready");
}

}  // namespace serverledge
