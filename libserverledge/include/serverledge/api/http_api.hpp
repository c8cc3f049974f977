#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "serverledge/core/container_runtime.hpp"
#include "serverledge/core/function.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/core/status_report.hpp"
#include "serverledge/net/http_server.hpp"
#include "serverledge/node/node.hpp"

namespace serverledge {

struct HttpApiOptions {
  std::size_t body_max = std::size_t{6} << 20U;   ///< bytes of a request's body
  std::size_t code_max = std::size_t{64} << 20U;  ///< bytes of a function's code, before base64
  /// In a cluster: code over that many bytes is not served by nodes of the Go implementation, and whoever
  /// stores such a function is told. 0: no cluster.
  std::size_t code_inline_max = 0;
  /// Fetches the code of a function that is given by a URL, within limits of its own. Required.
  std::function<Result<std::string>(const std::string& url)> download;
  /// The text of `/metrics`; empty: there is no such route.
  std::function<std::string()> metrics;
  /// What keeps the node from its work although it runs, for `/readyz` (503); an empty text: nothing. Quick.
  std::function<std::string()> obstacle;
  /// Where the node stands in the network; empty: it is alone.
  std::function<Coordinates()> coordinates;
};

/// The node's HTTP interface, as docs/api.md describes it: parses requests, calls the node, renders what it
/// says. Thread-safe.
class HttpApi {
 public:
  /// Adds all routes to the server, which must not have been started. Node, server and archive must outlive
  /// the server's last call, and so must this.
  HttpApi(Node& node, CodeArchive& archive, HttpServer& server, HttpApiOptions options);
  ~HttpApi();
  HttpApi(const HttpApi&) = delete;
  HttpApi& operator=(const HttpApi&) = delete;

  /// What `/readyz` says, until the node stops: "starting" (503) at first.
  void set_ready(bool ready);

  /// What `/create` and `/update` do with that body, without HTTP.
  Result<FunctionPtr> create(std::string_view request);
  Result<FunctionPtr> update(std::string_view request);
  /// The same of a function that is made in code, and its code as it would be decoded.
  Result<FunctionPtr> create(Function function, std::string_view code);
  Result<FunctionPtr> update(Function function, std::string_view code);
  /// The object that `/status` answers.
  std::string status() const;

 private:
  struct Routes;
  std::unique_ptr<Routes> routes_;
};

}  // namespace serverledge
