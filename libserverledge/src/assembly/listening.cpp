#include "assembly/listening.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "serverledge/net/http_client.hpp"
#include "serverledge/net/route.hpp"

namespace serverledge {

namespace {

constexpr const char* kEverywhere = "0.0.0.0";

}  // namespace

HttpServerOptions server_options(const Configuration& configuration, std::shared_ptr<Observer> observer) {
  HttpServerOptions options;
  if (configuration.is_set("api.listen")) {
    options.address = configuration.text("api.listen");
  } else if (configuration.is_set("etcd.address")) {
    options.address = kEverywhere;
  }
  options.port = static_cast<int>(configuration.integer("api.port"));
  options.max_threads = static_cast<std::size_t>(configuration.integer("api.concurrency"));
  options.min_threads = std::min(options.min_threads, options.max_threads);
  options.log = [observer = std::move(observer)](std::string_view event, std::string_view detail) {
    observer->log(LogLevel::kWarning, event, {{"detail", detail}});
  };
  return options;
}

Result<int> start_listening(HttpServer& server) {
  Result<int> port = server.start();
  if (!port) return Unexpected(named("api.listen, api.port", std::move(port).error()));
  return port;
}

std::string address_here(const std::string& address, int port) {
  if (port == 0) return {};
  const bool everywhere = address == kEverywhere || address == "::";
  return HttpTarget::tcp(everywhere ? "127.0.0.1" : address, port).name();
}

std::string listening_notice(const std::string& address, const char* where) {
  return is_loopback(address)
             ? "nothing authenticates callers, so only this machine is listened to (api.listen)"
             : fmt::format(
                   "nothing authenticates callers, and {} can be reached from outside: "
                   "whoever reaches it can run code {} (api.listen)",
                   address, where);
}

Error named(const char* key, Error error) {
  error.message.insert(0, fmt::format("{}: ", key));
  return error;
}

}  // namespace serverledge
