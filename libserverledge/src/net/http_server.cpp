#include "serverledge/net/http_server.hpp"

#include <mutex>
#include <system_error>

#include "net/http_crew.hpp"
#include "net/socket.hpp"

namespace serverledge {

class HttpServer::Machine {
 public:
  Machine(Options options, Clock& clock) : options_(std::move(options)), clock_(clock) {}

  RouteTable& routes() { return routes_; }

  Result<int> start() {
    const std::lock_guard lock(lifecycle_);
    if (crew()) return Unexpected(ErrorCode::kExists, "the server is running already");
    auto listener = options_.unix_path.empty() ? listen_tcp(options_.address, options_.port)
                                               : listen_unix(options_.unix_path);
    if (!listener) return Unexpected(std::move(listener).error());
    const int port = local_port(*listener);
    try {
      const auto crew = std::make_shared<HttpCrew>(options_, routes_, std::move(*listener), clock_);
      crew->start();
      set_crew(crew);
    } catch (const std::system_error& error) {
      return Unexpected(ErrorCode::kUnavailable,
                        std::string("cannot start the HTTP server: ") + error.what());
    }
    return port;
  }

  std::size_t drain(Duration grace) {
    const auto running = crew();
    return running ? running->drain(grace) : 0;
  }

  void stop() {
    const std::lock_guard lock(lifecycle_);
    if (const auto running = crew()) running->stop();
    set_crew(nullptr);
  }

  HttpServerLoad load() const {
    const auto running = crew();
    return running ? running->load() : HttpServerLoad{};
  }

 private:
  std::shared_ptr<HttpCrew> crew() const {
    const std::lock_guard lock(mutex_);
    return crew_;
  }
  void set_crew(std::shared_ptr<HttpCrew> crew) {
    const std::lock_guard lock(mutex_);
    crew_.swap(crew);
  }

  const Options options_;
  Clock& clock_;
  RouteTable routes_;
  std::mutex lifecycle_;  // one start or stop at a time; a drain does not keep a stop from coming
  mutable std::mutex mutex_;
  std::shared_ptr<HttpCrew> crew_;
};

HttpServer::HttpServer(Options options, Clock& clock)
    : machine_(std::make_unique<Machine>(std::move(options), clock)) {}

HttpServer::~HttpServer() { stop(); }

void HttpServer::route(std::string method, std::string_view pattern, Handler handler,
                       HttpRouteOptions options) {
  machine_->routes().add(std::move(method), pattern, std::move(handler), options);
}

Result<int> HttpServer::start() { return machine_->start(); }

std::size_t HttpServer::drain(Duration grace) { return machine_->drain(grace); }

void HttpServer::stop() { machine_->stop(); }

HttpServerLoad HttpServer::load() const { return machine_->load(); }

}  // namespace serverledge
