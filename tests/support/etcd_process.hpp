#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "support/command_run.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {

/// A real etcd in a temporary folder, on free ports of 127.0.0.1, ended by the destructor. It answers when
/// the constructor returns. What goes wrong throws std::runtime_error.
class EtcdProcess {
 public:
  struct Options {
    std::vector<std::string> arguments = {};  ///< further ones of etcd's
    bool tls = false;                         ///< with certificates made for it, and clients must have one
  };
  EtcdProcess() : EtcdProcess(Options()) {}
  explicit EtcdProcess(Options options);
  ~EtcdProcess();
  EtcdProcess(const EtcdProcess&) = delete;
  EtcdProcess& operator=(const EtcdProcess&) = delete;

  /// "127.0.0.1:<port>".
  const std::string& address() const { return address_; }
  /// PEM files, with tls: of the authority, the client and its key.
  std::string ca() const { return folder_.file("ca.pem"); }
  std::string certificate() const { return folder_.file("client.pem"); }
  std::string key() const { return folder_.file("client.key"); }

  /// Sends a signal; after SIGSTOP it has stopped when this returns.
  void signal(int number) const;
  /// SIGKILL, and waits for its end.
  void kill();
  /// Starts it anew on the same ports, after `kill`.
  void start();
  /// The same on another client port, where only `ctl` finds it, until `come_back` starts it where it was.
  void hide();
  void come_back();
  /// Removes its data, after `kill`.
  void wipe();
  /// Copies its data, and puts the copy in their place, after `kill`.
  void back_up();
  void restore();
  /// Waits until it answers, 60 s at most.
  void wait_until_ready() const;

  /// Runs etcdctl; what it prints. `as` is "user:password". Throws if it fails.
  std::string ctl(std::vector<std::string> arguments, const std::string& as = {}) const;

 private:
  CommandRun try_ctl(std::vector<std::string> arguments, const std::string& as) const;
  std::vector<std::string> arguments() const;

  TemporaryFolder folder_;
  Options options_;
  std::string address_;
  std::string usual_address_;  // while it hides
  std::string peer_;
  pid_t pid_ = -1;
};

/// How to start an etcd. Skips the test where there is none.
EtcdProcess::Options wanted_etcd(std::vector<std::string> arguments = {}, bool tls = false);

}  // namespace serverledge::test
