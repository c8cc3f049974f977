#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "net/file_descriptor.hpp"

struct ssl_ctx_st;

namespace serverledge::test {

/// A web server, on the loopback unless told otherwise, that answers one connection after the other with
/// exactly the bytes that a test gives for a target, and closes it. Ended by the destructor.
class WebServer {
 public:
  /// What to answer to "GET <target>"; called on the server's thread.
  using Answer = std::function<std::string(const std::string& target)>;
  explicit WebServer(Answer answer, const std::string& address = "127.0.0.1")
      : WebServer(std::move(answer), nullptr, address) {}
  /// By TLS, with a certificate for `name` signed by itself and written to `ca_file`.
  static std::unique_ptr<WebServer> tls(Answer answer, const std::string& name, const std::string& ca_file);
  ~WebServer();
  WebServer(const WebServer&) = delete;
  WebServer& operator=(const WebServer&) = delete;

  /// From now on, TLS connections end without the closing word.
  void cut() { cut_ = true; }
  int port() const { return port_; }
  std::string url(const std::string& target) const;

 private:
  struct FreeTls {
    void operator()(ssl_ctx_st* context) const;
  };
  using Tls = std::unique_ptr<ssl_ctx_st, FreeTls>;
  WebServer(Answer answer, Tls tls, const std::string& address);
  void run();
  void serve(int connection);
  void serve_tls(int connection);

  Answer answer_;
  Tls tls_;
  FileDescriptor listener_;
  int port_ = 0;
  std::atomic<bool> cut_ = false;
  std::thread thread_;
};

/// An answer with a status and a body, framed by its length.
std::string answer(int status, const std::string& body, const std::string& headers = "");

}  // namespace serverledge::test
