#include "api/served_node.hpp"

#include "serverledge/policy/keep_alive_policy.hpp"
#include "serverledge/policy/local_only_policy.hpp"

namespace serverledge::test {
namespace {

template <typename T>
T taken(Result<T> result, const std::string& what) {
  if (!result) throw std::runtime_error(what + ": " + result.error().message);
  return std::move(*result);
}

}  // namespace

ServedNode::ServedNode(const Options& options)
    : store(taken(open_embedded_store(":memory:", system_clock()), "store")),
      registry(make_stored_registry(*store, system_clock(), observer)),
      results(*store, system_clock(), observer, std::chrono::minutes(30)) {
  NodeOptions node_options;
  node_options.invoker.node = "node-one";
  node_options.invoker.area = "ROME";
  node_options.total = options.total;
  node_options.queue_capacity = options.queue_capacity;
  node = std::make_unique<Node>(
      node_options, NodeParts{.runtime = runtime,
                              .registry = *registry,
                              .results = results,
                              .observer = observer,
                              .clock = system_clock(),
                              .policy = std::make_unique<LocalOnlyPolicy>(),
                              .keep_alive = std::make_unique<TtlKeepAlive>(std::chrono::minutes(10)),
                              .peers = nullptr,
                              .link = nullptr,
                              .on_upkeep = [this] { results.pump(system_clock().now()); }});
  server = std::make_unique<HttpServer>(HttpServerOptions{}, system_clock());
  HttpApiOptions api_options;
  api_options.body_max = options.body_max;
  api_options.download = [](const std::string&) -> Result<std::string> {
    return Unexpected(ErrorCode::kUnavailable, "a unit test has no network");
  };
  api = std::make_unique<HttpApi>(*node, archive, *server, std::move(api_options));
  target = HttpTarget::tcp("127.0.0.1", taken(server->start(), "server"));
}

ServedNode::~ServedNode() {
  node->stop(Duration::zero());
  server->stop();
}

HttpResponse ServedNode::request(HttpRequest request) {
  return taken(client.request(target, request, std::chrono::seconds(5),
                              later(system_clock().now(), std::chrono::minutes(1))),
               request.method + " " + request.path);
}

HttpResponse ServedNode::post(const std::string& path, std::string body, HttpHeaders headers) {
  HttpRequest call;
  call.method = "POST";
  call.path = path;
  call.headers = std::move(headers);
  call.body = std::move(body);
  return request(std::move(call));
}

HttpResponse ServedNode::get(const std::string& path) {
  HttpRequest call;
  const std::size_t query = path.find('?');
  call.path = path.substr(0, query);
  if (query != std::string::npos) call.query = path.substr(query + 1);
  return request(std::move(call));
}

std::string ServedNode::function(const std::string& name, const std::string& fields) {
  std::string body = R"({"Name":")" + name + R"(","Runtime":"python314","MemoryMB":128,"Handler":")" + name +
                     R"(.handler","TarFunctionCode":")" + base64_encode("code of " + name) + "\"";
  if (!fields.empty()) body.append(",").append(fields);
  return body + "}";
}

void ServedNode::create(const std::string& name, const std::string& fields) {
  const HttpResponse answer = post("/create", function(name, fields));
  if (answer.status != 200) throw std::runtime_error("/create of " + name + ": " + answer.body);
}

}  // namespace serverledge::test
