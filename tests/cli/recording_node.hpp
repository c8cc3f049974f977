#pragma once

#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "serverledge/net/http_server.hpp"
#include "support/command_run.hpp"

namespace serverledge::test {

/// A server with the routes of a node that writes down what it is sent and answers what it was told to: what
/// the tests of the command line talk to.
class RecordingNode {
 public:
  /// The bytes of a request that matter.
  struct Exchange {
    std::string method;
    std::string path;
    std::string content_type;
    std::string body;
  };

  RecordingNode();

  /// The answers to the next requests, in their order; the last one stays. Without one: 200 and an empty
  /// object.
  void answer(HttpResponse response);
  std::vector<Exchange> exchanges() const;
  /// The only request that came; fails the test if it was not exactly one.
  Exchange exchange() const;
  int port() const { return port_; }

  /// Runs the command line against this node.
  CommandRun cli(std::vector<std::string> arguments) const;

 private:
  HttpResponse record(const HttpRequest& request);

  mutable std::mutex mutex_;
  std::vector<Exchange> exchanges_;
  std::deque<HttpResponse> answers_;
  HttpServer server_;
  int port_ = 0;
};

/// Runs the command line by itself. Its own variables are empty if `environment` does not set them.
CommandRun run_cli(std::vector<std::string> arguments, std::vector<std::string> environment = {});

}  // namespace serverledge::test
