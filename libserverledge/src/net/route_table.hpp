#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serverledge/net/http_server.hpp"

namespace serverledge {

/// A handler and where it is to be found.
struct Route {
  std::string method;
  std::vector<std::string> segments;  ///< of the pattern; those with a colon in front are parameters
  HttpServer::Handler handler;
  HttpRouteOptions options;
};

/// Finds the route of a request. Immutable while a server runs, and then thread-safe.
class RouteTable {
 public:
  /// What a request's method and path lead to.
  struct Match {
    const Route* route = nullptr;  ///< nullptr: none
    std::string
        allowed;  ///< without a route: the methods that the path has, "GET, POST"; empty: no such path
    std::vector<std::pair<std::string, std::string>> parameters;
  };

  void add(std::string method, std::string_view pattern, HttpServer::Handler handler,
           HttpRouteOptions options);
  /// `path` as sent: it is split at its slashes before its percent-encoding is undone.
  Match find(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;  // in the order in which they are tried: fixed segments before parameters
};

}  // namespace serverledge
