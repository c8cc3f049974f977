#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/raw_peer.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {

/// What an executor answered to a call.
struct ExecutorAnswer {
  int status = 0;
  bool success = false;
  bool has_result = false;
  std::string result;
  std::string output;
  std::string kind;  ///< of Error; empty: there is none
  std::string message;
  std::string traceback;
};

/// Takes an answer of HTTP apart; fails the test if it is none of the protocol.
ExecutorAnswer parse_answer(const std::string& answer);

/// A call that says its name.
inline std::string named_post(const std::string& name, const std::string& body) {
  return post("/invoke", body, "Serverledge-Call: " + name + "\r\n");
}

/// An executor as an image would start it, on a port of its own, with a folder for code and one for what is
/// temporary. Killed with the object.
class ExecutorProcess {
 public:
  using Texts = std::map<std::string, std::string>;
  /// `files`: name in the code folder, content. `environment`: beside PATH and what makes it find its port.
  static std::unique_ptr<ExecutorProcess> python(const Texts& files, const Texts& environment = {});
  /// Skips the test where there is no Node.js.
  static std::unique_ptr<ExecutorProcess> nodejs(const Texts& files, const Texts& environment = {});
  static std::unique_ptr<ExecutorProcess> custom(const Texts& environment, const Texts& files = {});
  ~ExecutorProcess();
  ExecutorProcess(const ExecutorProcess&) = delete;
  ExecutorProcess& operator=(const ExecutorProcess&) = delete;

  RawPeer connect() const { return RawPeer(port()); }
  /// Posts a body on a connection of its own.
  ExecutorAnswer post(std::string_view path, const std::string& body) const;
  ExecutorAnswer invoke(const std::string& body) const { return post("/invoke", body); }
  /// The body of a call of a handler in the code folder.
  std::string call(const std::string& handler, const std::string& params = "{}",
                   const std::string& more = "") const;

  int port() const;
  pid_t pid() const { return pid_; }
  /// Waits for the process to end: its wait status.
  int wait();
  /// What it wrote to standard error until it ended.
  std::string complaint();
  std::string folder() const { return folder_.file("app"); }
  std::string temporary() const { return folder_.file("tmp"); }

 private:
  ExecutorProcess(const std::vector<std::string>& command, const Texts& files, Texts environment);
  void start(const std::vector<std::string>& command, const Texts& environment);

  TemporaryFolder folder_;
  pid_t pid_ = -1;
  int error_ = -1;
  std::string said_;
  int port_ = 0;
};

}  // namespace serverledge::test
