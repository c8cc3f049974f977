#include "support/etcd_process.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>
#include <utility>

#include "serverledge/core/clock.hpp"
#include "support/skip.hpp"

namespace serverledge::test {
namespace {

constexpr const char* kEtcd = "/usr/bin/etcd";
constexpr const char* kEtcdctl = "/usr/bin/etcdctl";

/// Two ports that nobody uses at the moment. Somebody may before etcd does: then it is tried again.
std::pair<int, int> free_ports() {
  int ports[2] = {};
  int sockets[2] = {};
  for (int i = 0; i < 2; ++i) {
    sockets[i] = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(sockets[i], reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::getsockname(sockets[i], reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error("no free port");
    ports[i] = ntohs(address.sin_port);
  }
  for (const int socket : sockets) ::close(socket);
  return {ports[0], ports[1]};
}

void run(const std::vector<std::string>& command) {
  const CommandRun done = run_command(command);
  if (done.exit_code != 0) throw std::runtime_error(command[0] + " " + command[1] + " failed: " + done.err);
}

/// An authority, and a certificate of it for the server and for the client each.
void make_certificates(const TemporaryFolder& folder) {
  const auto file = [&](const std::string& name) { return folder.file(name); };
  std::ofstream(file("names")) << "subjectAltName=IP:127.0.0.1,DNS:localhost\n";
  run({"/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
       "-nodes", "-days", "2", "-subj", "/CN=test authority", "-keyout", file("ca.key"), "-out",
       file("ca.pem")});
  for (const std::string who : {"server", "client"}) {
    run({"/usr/bin/openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=" + who, "-keyout", file(who + ".key"), "-out", file(who + ".csr")});
    run({"/usr/bin/openssl", "x509", "-req", "-in", file(who + ".csr"), "-CA", file("ca.pem"), "-CAkey",
         file("ca.key"), "-CAcreateserial", "-days", "2", "-extfile", file("names"), "-out",
         file(who + ".pem")});
  }
}

}  // namespace

EtcdProcess::Options wanted_etcd(std::vector<std::string> arguments, bool tls) {
  if (::access(kEtcd, X_OK) != 0 || ::access(kEtcdctl, X_OK) != 0) {
    skip_test("etcd-server or etcd-client is not installed");
  }
  return {.arguments = std::move(arguments), .tls = tls};
}

EtcdProcess::EtcdProcess(Options options) : options_(std::move(options)) {
  if (options_.tls) make_certificates(folder_);
  for (int attempt = 0;; ++attempt) {
    const auto [client, peer] = free_ports();
    address_ = "127.0.0.1:" + std::to_string(client);
    peer_ = "http://127.0.0.1:" + std::to_string(peer);
    try {
      start();
      return;
    } catch (const std::runtime_error&) {
      kill();
      wipe();
      if (attempt == 2) throw;
    }
  }
}

EtcdProcess::~EtcdProcess() { kill(); }

std::vector<std::string> EtcdProcess::arguments() const {
  const std::string url = (options_.tls ? "https://" : "http://") + address_;
  std::vector<std::string> all{kEtcd,
                               "--name",
                               "test",
                               "--data-dir",
                               folder_.file("data"),
                               "--listen-client-urls",
                               url,
                               "--advertise-client-urls",
                               url,
                               "--listen-peer-urls",
                               peer_,
                               "--initial-advertise-peer-urls",
                               peer_,
                               "--initial-cluster",
                               "test=" + peer_,
                               "--logger",
                               "zap",
                               "--log-outputs",
                               folder_.file("log")};
  if (options_.tls) {
    for (const auto& [flag, file] : {std::pair{"--cert-file", "server.pem"},
                                     {"--key-file", "server.key"},
                                     {"--trusted-ca-file", "ca.pem"}}) {
      all.insert(all.end(), {flag, folder_.file(file)});
    }
    all.emplace_back("--client-cert-auth");
  }
  all.insert(all.end(), options_.arguments.begin(), options_.arguments.end());
  return all;
}

void EtcdProcess::start() {
  std::vector<std::string> words = arguments();
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const std::string out = folder_.file("out");
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int log = ::open(out.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::execv(kEtcd, pointers.data());
    ::_exit(127);
  }
  wait_until_ready();
}

void EtcdProcess::wait_until_ready() const {
  const TimePoint deadline = later(system_clock().now(), std::chrono::seconds(60));
  CommandRun asked;
  const auto runs = [this] {
    siginfo_t ended{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           ended.si_pid == 0;
  };
  while (system_clock().now() < deadline && runs()) {
    asked = try_ctl({"endpoint", "health"}, {});
    // Where authentication is on, the question needs a user; the refusal is an answer, too.
    if (asked.exit_code == 0 || asked.err.find("user name is empty") != std::string::npos) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  std::ifstream log(folder_.file("log"));
  throw std::runtime_error("etcd does not answer: " + asked.err + asked.out +
                           std::string(std::istreambuf_iterator<char>(log), {}));
}

void EtcdProcess::hide() {
  kill();
  usual_address_ = std::exchange(address_, "127.0.0.1:" + std::to_string(free_ports().first));
  start();
}

void EtcdProcess::come_back() {
  kill();
  address_ = usual_address_;
  start();
}

void EtcdProcess::signal(int number) const {
  if (pid_ <= 0) return;
  ::kill(pid_, number);
  if (number != SIGSTOP) return;
  // It may still answer until all its threads have stopped.
  while (::waitpid(pid_, nullptr, WUNTRACED) < 0 && errno == EINTR) {
  }
}

void EtcdProcess::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

void EtcdProcess::wipe() { std::filesystem::remove_all(folder_.file("data")); }

void EtcdProcess::back_up() {
  std::filesystem::copy(folder_.file("data"), folder_.file("backup"),
                        std::filesystem::copy_options::recursive);
}

void EtcdProcess::restore() {
  wipe();
  std::filesystem::copy(folder_.file("backup"), folder_.file("data"),
                        std::filesystem::copy_options::recursive);
}

CommandRun EtcdProcess::try_ctl(std::vector<std::string> arguments, const std::string& as) const {
  std::vector<std::string> command{kEtcdctl, "--endpoints",
                                   (options_.tls ? "https://" : "http://") + address_};
  if (options_.tls)
    command.insert(command.end(), {"--cacert", ca(), "--cert", certificate(), "--key", key()});
  if (!as.empty()) command.insert(command.end(), {"--user", as});
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_command(command, {"ETCDCTL_API=3"});
}

std::string EtcdProcess::ctl(std::vector<std::string> arguments, const std::string& as) const {
  CommandRun done = try_ctl(arguments, as);
  if (done.exit_code != 0)
    throw std::runtime_error("etcdctl " + arguments.front() + " failed: " + done.err + done.out);
  return done.out;
}

}  // namespace serverledge::test
