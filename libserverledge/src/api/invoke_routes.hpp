#pragma once

#include "serverledge/net/http_message.hpp"
#include "serverledge/node/node.hpp"

namespace serverledge {

/// Answers `/invoke` and `/poll`. Thread-safe; the node must outlive it.
class InvokeRoutes {
 public:
  explicit InvokeRoutes(Node& node) : node_(node) {}

  /// POST /invoke/:fun: runs the function, or accepts it for later.
  HttpResponse invoke(HttpRequest& request);
  /// GET /poll/:reqId: the answer of an asynchronous call.
  HttpResponse poll(const HttpRequest& request);

 private:
  HttpResponse run(HttpRequest& request, const FunctionPtr& function);
  HttpResponse accept(Invocation invocation);
  void add_node_headers(const HttpRequest& request, const Function& function, HttpHeaders& headers) const;

  Node& node_;
};

}  // namespace serverledge
