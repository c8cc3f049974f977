#pragma once

#include <atomic>
#include <string>

#include "serverledge/net/http_server.hpp"
#include "support/gate.hpp"

namespace serverledge::test {

/// A registry of container images on the loopback, with one image: the tiny executor, as `reference`. What
/// is pulled of it waits at a gate if the test wants that.
class ImageRegistry {
 public:
  /// `credentials`: "user:password" that it wants to see; empty: none.
  explicit ImageRegistry(const std::string& credentials = {});

  /// "127.0.0.1:<port>/tiny:1".
  std::string reference() const;
  /// From now on layers wait at the gate.
  void hold() { held_ = true; }
  Gate& gate() { return gate_; }
  /// How often the manifest was asked for.
  int asked() const { return asked_; }

 private:
  void serve(const std::string& path, const HttpServer::Handler& handler);
  HttpResponse blob(std::string_view digest);

  const std::string wanted_;  // of Authorization
  std::string layer_;
  std::string config_;
  std::string manifest_;
  std::atomic<bool> held_ = false;
  std::atomic<int> asked_ = 0;
  Gate gate_;
  HttpServer server_;
  int port_ = 0;
};

}  // namespace serverledge::test
