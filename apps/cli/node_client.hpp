#pragma once

#include <memory>
#include <string>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/net/http_message.hpp"

namespace serverledge::cli {

/// The node that the commands talk to. Not thread-safe.
class NodeClient {
 public:
  static constexpr int kDefaultPort = 1323;
  struct Options {
    std::string host = "127.0.0.1";
    int port = 0;          ///< 0: not said
    bool verbose = false;  ///< tell of every exchange on stderr: method, address, status, sizes, time
  };
  explicit NodeClient(Options options);
  ~NodeClient();
  NodeClient(const NodeClient&) = delete;
  NodeClient& operator=(const NodeClient&) = delete;

  /// The answer, whatever its status; an Error if there was none.
  Result<HttpResponse> get(const std::string& path);
  /// The same for a JSON body. `limit` bounds the whole exchange.
  Result<HttpResponse> post(const std::string& path, std::string body, Duration limit);

 private:
  struct Connection;  // keeps cpp-httplib out of the commands
  Result<HttpResponse> exchange(const char* method, const std::string& path, std::string body,
                                Duration limit);

  Options options_;
  std::string name_;  // "127.0.0.1:1323"
  std::unique_ptr<Connection> connection_;
};

}  // namespace serverledge::cli
