#pragma once

#include <sys/types.h>

#include <atomic>
#include <csignal>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "net/file_descriptor.hpp"
#include "serverledge/net/http_client.hpp"
#include "serverledge/net/http_message.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {

/// A container engine to test with, and what a test asks of it beside the code under test. Thread-safe.
class DockerEngine {
 public:
  /// The engine at an address as in DOCKER_HOST.
  explicit DockerEngine(std::string host);
  /// The one that the ctest fixture has found or started (docker_engine.sh); ends the test as skipped if
  /// there is none.
  static DockerEngine of_fixture();

  const std::string& host() const { return host_; }
  /// The path of its socket; empty if it is reached by TCP.
  std::string socket() const;

  /// A request of its API; throws std::runtime_error if it is not answered, or not with a 2xx and `must`.
  HttpResponse request(const std::string& method, const std::string& path, std::string body = {},
                       bool must = true, const std::string& content_type = "application/json") const;
  bool has_image(const std::string& reference) const;
  /// Makes the image of one static program (SERVERLEDGE_TINY_EXECUTOR), if it is not there; its name.
  std::string tiny_image() const;
  /// Ids of all containers that carry that label, running or not.
  std::vector<std::string> containers(const std::string& label) const;

 private:
  std::string host_;
};

/// An engine that a test has started; ended with the object.
class EngineProcess {
 public:
  /// Starts the program and waits until `engine` answers; skips the test if the program ends instead. What it
  /// says goes to the file `log`.
  EngineProcess(const std::vector<std::string>& command, const std::string& log, const DockerEngine& engine);
  ~EngineProcess();
  EngineProcess(const EngineProcess&) = delete;
  EngineProcess& operator=(const EngineProcess&) = delete;
  /// Sends a signal and waits for the end.
  void end(int signal);

 private:
  pid_t pid_ = -1;
};

/// How an engine of a test's own is.
struct OwnEngineSetup {
  int megabytes =
      0;  ///< the size of the file system for its data, in memory; 0: a folder of the machine's disk
  bool tcp = false;      ///< listens on a port of the loopback, too
  std::string tls = {};  ///< ... by TLS: a folder with ca.pem, server-cert.pem and server-key.pem
};

/// An engine of the test's own, to be stopped and started. Skips the test where there can be none.
class OwnDockerEngine {
 public:
  explicit OwnDockerEngine(OwnEngineSetup setup = {});
  ~OwnDockerEngine();
  OwnDockerEngine(const OwnDockerEngine&) = delete;
  OwnDockerEngine& operator=(const OwnDockerEngine&) = delete;

  const DockerEngine& engine() const { return engine_; }
  /// Its address by TCP.
  std::string tcp_host() const { return "tcp://127.0.0.1:" + std::to_string(port_); }
  /// The folder of its data.
  std::string data() const { return folder_.file("data"); }
  void start();
  /// SIGTERM, and waits: its containers end with it.
  void stop() { process_->end(SIGTERM); }
  /// SIGKILL, and waits: its containers live on.
  void kill();

 private:
  std::vector<std::string> command() const;

  const OwnEngineSetup setup_;
  TemporaryFolder folder_;
  bool mounted_ = false;
  int port_ = 0;
  DockerEngine engine_;
  std::optional<EngineProcess> process_;
};

/// Podman's service, with data of its own. Skips the test where there can be none.
class PodmanService {
 public:
  PodmanService();
  ~PodmanService();
  PodmanService(const PodmanService&) = delete;
  PodmanService& operator=(const PodmanService&) = delete;

  const DockerEngine& engine() const { return engine_; }

 private:
  TemporaryFolder folder_;
  DockerEngine engine_;
  std::optional<EngineProcess> process_;
};

/// A socket, or a port of the loopback, before an engine's socket that counts the requests that pass, and may
/// stop answering.
class EngineProxy {
 public:
  explicit EngineProxy(const std::string& engine_socket, bool tcp = false);
  ~EngineProxy();
  EngineProxy(const EngineProxy&) = delete;
  EngineProxy& operator=(const EngineProxy&) = delete;

  const std::string& host() const { return host_; }
  /// How many requests have been sent to the engine.
  int requests() const { return requests_; }
  /// From now on nothing that the engine says is passed on, or it is again.
  void hang(bool hangs) { hangs_ = hangs; }

 private:
  void accept_all();
  void serve(int client);

  TemporaryFolder folder_;
  const std::string engine_;
  std::string host_;
  FileDescriptor listener_;
  std::atomic<int> requests_ = 0;
  std::atomic<bool> hangs_ = false;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::vector<std::jthread> servers_;
  std::jthread acceptor_;
};

}  // namespace serverledge::test
