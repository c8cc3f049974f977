#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "serverledge/net/http_client.hpp"
#include "serverledge/net/http_message.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {

/// The real server as a process of its own, on a free port, with a temporary store. It takes calls when the
/// constructor returns, and is stopped by the destructor. What goes wrong there throws std::runtime_error
/// with the node's log.
class NodeProcess {
 public:
  struct Options {
    std::map<std::string, std::string> settings;     ///< configuration keys, over those that the test needs
    std::map<std::string, std::string> environment;  ///< over this process's
    std::string program = SERVERLEDGE_SERVER;        ///< or another that is configured and started alike
  };
  NodeProcess() : NodeProcess(Options()) {}
  explicit NodeProcess(Options options);
  ~NodeProcess();
  NodeProcess(const NodeProcess&) = delete;
  NodeProcess& operator=(const NodeProcess&) = delete;

  int port() const { return port_; }
  pid_t pid() const { return pid_; }
  /// All that it has logged so far, over all its lives.
  std::string log() const;
  /// Waits until the log contains the text, 30 s at most; whether it does.
  bool wait_for_log(std::string_view text);
  /// The folder of its store.
  std::filesystem::path store() const { return folder_.path() / "store"; }

  /// Sends a signal.
  void signal(int number) const;
  /// Waits for its end: the exit code, or minus the number of the signal that ended it.
  int wait();
  /// SIGTERM, and `wait`.
  int stop();
  /// Starts it anew on the same store after it has ended (another port).
  void start();

  /// The answer; throws if there is none within a minute.
  HttpResponse get(const std::string& path, HttpHeaders headers = {}) const;
  HttpResponse post(const std::string& path, std::string body, HttpHeaders headers = {}) const;
  /// The same without throwing.
  Result<HttpResponse> request(HttpRequest request, Duration within) const;

  /// Stores a function of one source file; `fields` are further members of the body: R"("MaxConcurrency":4)".
  void create(const std::string& name, const std::string& runtime, const std::string& handler,
              const std::string& source, const std::string& fields = {}) const;
  /// Stores a Python function `handler` in a module of the function's name.
  void create_python(const std::string& name, const std::string& source,
                     const std::string& fields = {}) const;
  /// Stores a Node.js module.
  void create_javascript(const std::string& name, const std::string& source,
                         const std::string& fields = {}) const;

 private:
  void read_log(int from);
  [[noreturn]] void fail(const std::string& what) const;

  TemporaryFolder folder_;
  std::string program_;
  std::vector<std::string> environment_;
  pid_t pid_ = -1;
  std::optional<int> ended_;
  int port_ = 0;
  mutable HttpClient client_;
  mutable std::mutex mutex_;
  std::condition_variable logged_;
  std::string log_;
  bool log_ended_ = false;
  std::jthread reader_;
};

}  // namespace serverledge::test
