#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "api/archive_double.hpp"
#include "serverledge/api/http_api.hpp"
#include "serverledge/cluster/embedded_store.hpp"
#include "serverledge/cluster/stored_registry.hpp"
#include "serverledge/cluster/stored_results.hpp"
#include "serverledge/core/json.hpp"
#include "serverledge/net/base64.hpp"
#include "serverledge/net/http_client.hpp"
#include "serverledge/net/http_server.hpp"
#include "serverledge/node/node.hpp"
#include "support/scripted_runtime.hpp"

namespace serverledge::test {

/// A node with its API on a real server, whose containers do what the test says.
class ServedNode {
 public:
  struct Options {
    Resources total{1024, 4000};
    std::size_t queue_capacity = 0;
    std::size_t body_max = std::size_t{6} << 20U;
  };
  ServedNode() : ServedNode(Options()) {}
  explicit ServedNode(const Options& options);
  ~ServedNode();

  HttpResponse post(const std::string& path, std::string body, HttpHeaders headers = {});
  HttpResponse get(const std::string& path);
  HttpResponse request(HttpRequest request);
  /// Stores a function; `fields` are further members of the body.
  void create(const std::string& name, const std::string& fields = {});
  /// Body of `/create`.
  static std::string function(const std::string& name, const std::string& fields = {});

  testing::ScriptedRuntime runtime;
  ArchiveDouble archive;
  Observer observer;
  std::unique_ptr<KeyValueStore> store;
  std::unique_ptr<FunctionRegistry> registry;
  StoredResults results;
  std::unique_ptr<Node> node;
  std::unique_ptr<HttpServer> server;
  std::unique_ptr<HttpApi> api;
  HttpClient client{{}, system_clock()};
  HttpTarget target;
};

}  // namespace serverledge::test
