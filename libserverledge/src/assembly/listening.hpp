#pragma once

#include <memory>
#include <string>

#include "serverledge/core/configuration.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/net/http_server.hpp"

namespace serverledge {

/// What the configuration says of the server of a node or a load balancer: where it listens, and how many
/// requests it works on. What goes wrong there is told to the observer.
HttpServerOptions server_options(const Configuration& configuration, std::shared_ptr<Observer> observer);

/// Starts it; its port. Errors name the configuration keys.
Result<int> start_listening(HttpServer& server);

/// Where it listens at `address`, for a client on this machine: "127.0.0.1:1323". Empty if the port is 0.
std::string address_here(const std::string& address, int port);

/// What an operator should know of that address; `where` says at what place callers can run code.
std::string listening_notice(const std::string& address, const char* where);

/// An error about the value of a key, which names it.
Error named(const char* key, Error error);

}  // namespace serverledge
