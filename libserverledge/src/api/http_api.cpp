#include "serverledge/api/http_api.hpp"

#include <string>
#include <string_view>
#include <utility>

#include "api/function_routes.hpp"
#include "api/invoke_routes.hpp"
#include "api/openapi.hpp"
#include "api/status_routes.hpp"
#include "net/metrics_type.hpp"

namespace serverledge {

struct HttpApi::Routes {
  Routes(Node& node, CodeArchive& archive, HttpApiOptions& options)
      : invoke(node),
        functions(node.registry(),
                  {node.runtime(), archive, node.options().total, std::move(options.download),
                   node.options().invoker.architecture, options.code_inline_max > 0},
                  options.code_inline_max),
        status(node, std::move(options.coordinates), std::move(options.obstacle)) {}
  InvokeRoutes invoke;
  FunctionRoutes functions;
  StatusRoutes status;
};

HttpApi::HttpApi(Node& node, CodeArchive& archive, HttpServer& server, HttpApiOptions options)
    : routes_(std::make_unique<Routes>(node, archive, options)) {
  Routes& routes = *routes_;
  const HttpRouteOptions body{.body_max = options.body_max};
  // The code as base64, and the fields around it.
  const HttpRouteOptions code{.body_max = options.code_max / 3 * 4 + (std::size_t{64} << 10U)};
  const HttpRouteOptions quick{.body_max = options.body_max, .quick = true};

  server.route(
      "POST", "/invoke/:fun", [&](HttpRequest& request) { return routes.invoke.invoke(request); }, body);
  server.route(
      "GET", "/poll/:reqId", [&](HttpRequest& request) { return routes.invoke.poll(request); }, body);

  server.route(
      "POST", "/create", [&](HttpRequest& request) { return routes.functions.create(request); }, code);
  server.route(
      "POST", "/update", [&](HttpRequest& request) { return routes.functions.update(request); }, code);
  server.route(
      "POST", "/delete", [&](HttpRequest& request) { return routes.functions.remove(request); }, body);
  server.route(
      "GET", "/function", [&](HttpRequest& request) { return routes.functions.list(request); }, body);
  server.route(
      "GET", "/functions", [&](HttpRequest& request) { return routes.functions.list(request); }, body);

  server.route(
      "POST", "/prewarm", [&](HttpRequest& request) { return routes.status.prewarm(request); }, body);
  server.route(
      "GET", "/status", [&](HttpRequest&) { return routes.status.status(); }, quick);
  server.route(
      "GET", "/healthz", [&](HttpRequest&) { return routes.status.health(); }, quick);
  server.route(
      "GET", "/readyz", [&](HttpRequest&) { return routes.status.readiness(); }, quick);
  server.route(
      "GET", "/openapi.yaml",
      [](HttpRequest&) {
        return HttpResponse{200, "application/yaml", {}, std::string(openapi_description())};
      },
      quick);
  if (options.metrics) {
    server.route(
        "GET", "/metrics",
        [text = std::move(options.metrics)](HttpRequest&) {
          return HttpResponse{200, std::string(kMetricsType), {}, text()};
        },
        quick);
  }
}

HttpApi::~HttpApi() = default;

Result<FunctionPtr> HttpApi::create(std::string_view request) {
  return routes_->functions.store(request, /*replace=*/false);
}

Result<FunctionPtr> HttpApi::update(std::string_view request) {
  return routes_->functions.store(request, /*replace=*/true);
}

Result<FunctionPtr> HttpApi::create(Function function, std::string_view code) {
  return routes_->functions.store(std::move(function), code, /*replace=*/false);
}

Result<FunctionPtr> HttpApi::update(Function function, std::string_view code) {
  return routes_->functions.store(std::move(function), code, /*replace=*/true);
}

std::string HttpApi::status() const { return routes_->status.status_text(); }

void HttpApi::set_ready(bool ready) { routes_->status.set_ready(ready); }

}  // namespace serverledge
