#include "support/docker_engine.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "net/socket.hpp"
#include "runtime/tar_builder.hpp"
#include "serverledge/core/json.hpp"
#include "serverledge/net/sha256.hpp"
#include "support/eventually.hpp"
#include "support/skip.hpp"

namespace serverledge::test {
namespace {

constexpr auto kPatience = std::chrono::minutes(2);

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string first_line(const std::string& path) {
  const std::string text = read_file(path);
  return text.substr(0, text.find('\n'));
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) throw std::runtime_error("too long for a socket: " + path);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return address;
}

}  // namespace

DockerEngine::DockerEngine(std::string host) : host_(std::move(host)) {}

DockerEngine DockerEngine::of_fixture() {
  const std::string folder = SERVERLEDGE_DOCKER_FIXTURE;
  const std::string host = first_line(folder + "/host");
  if (!host.empty()) return DockerEngine(host);
  const std::string why = first_line(folder + "/missing");
  skip_test("no container engine: " +
            (why.empty() ? "run tests/support/docker_engine.sh start " + folder : why));
}

std::string DockerEngine::socket() const {
  return host_.starts_with("unix://") ? host_.substr(std::strlen("unix://")) : std::string();
}

HttpResponse DockerEngine::request(const std::string& method, const std::string& path, std::string body,
                                   bool must, const std::string& content_type) const {
  HttpTarget target = HttpTarget::unix_socket(socket());
  if (host_.starts_with("tcp://")) {
    const std::string rest = host_.substr(std::strlen("tcp://"));
    target = HttpTarget::tcp(rest.substr(0, rest.rfind(':')), std::stoi(rest.substr(rest.rfind(':') + 1)));
  }
  HttpClient client({}, system_clock());
  HttpRequest request;
  request.method = method;
  request.path = path.substr(0, path.find('?'));
  if (path.find('?') != std::string::npos) request.query = path.substr(path.find('?') + 1);
  if (!body.empty()) request.headers.set("Content-Type", content_type);
  request.body = std::move(body);
  Result<HttpResponse> answer =
      client.request(target, request, kPatience, later(system_clock().now(), kPatience));
  if (!answer) throw std::runtime_error(method + " " + path + ": " + answer.error().message);
  if (must && answer->status / 100 != 2)
    throw std::runtime_error(method + " " + path + ": " + std::to_string(answer->status) + " " +
                             answer->body);
  return std::move(*answer);
}

bool DockerEngine::has_image(const std::string& reference) const {
  return request("GET", "/images/" + reference + "/json", {}, false).status == 200;
}

std::string DockerEngine::tiny_image() const {
  const std::string program = read_file(SERVERLEDGE_TINY_EXECUTOR);
  const std::string tag = sha256_hex(program).substr(0, 12);  // of another build, it is another image
  const std::string name = "serverledge-test-tiny:" + tag;
  if (has_image(name)) return name;
  TarBuilder tar;
  tar.file("tiny", program, 0755);
  const HttpResponse made = request("POST",
                                    "/images/create?fromSrc=-&repo=serverledge-test-tiny&tag=" + tag +
                                        "&changes=ENTRYPOINT%20%5B%22%2Ftiny%22%5D",
                                    tar.bytes(), true, "application/x-tar");
  if (has_image(name)) return name;
  // Podman gives an image that it imports no name.
  const std::size_t id = made.body.rfind("sha256:");
  if (id == std::string::npos) throw std::runtime_error("the image was not made: " + made.body);
  request("POST", "/images/" + made.body.substr(id + std::strlen("sha256:"), 64) +
                      "/tag?repo=serverledge-test-tiny&tag=" + tag);
  return name;
}

std::vector<std::string> DockerEngine::containers(const std::string& label) const {
  const HttpResponse answer =
      request("GET", "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22" + label + "%22%5D%7D");
  const JsonDocument document = JsonDocument::parse(answer.body).value();
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < document.root().size(); ++i)
    ids.emplace_back(document.root().at(i).find("Id")->as_string().value());
  return ids;
}

EngineProcess::EngineProcess(const std::vector<std::string>& command, const std::string& log,
                             const DockerEngine& engine) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  const int failed = ::posix_spawn(&pid_, command[0].c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw std::runtime_error(command[0] + " cannot be started");
  const auto answers = [&] {
    try {
      engine.request("GET", "/_ping");
      return true;
    } catch (const std::runtime_error&) {
      return false;
    }
  };
  const auto ended = [&] {
    if (::waitpid(pid_, nullptr, WNOHANG) != pid_) return false;
    pid_ = -1;
    return true;
  };
  const bool ready = eventually([&] { return answers() || ended(); });
  if (ready && pid_ > 0) return;
  const std::string text = read_file(log);
  const std::size_t why = text.rfind("failed to start");
  end(SIGKILL);
  skip_test(command[0] + " does not run here: " + (why == std::string::npos ? text : text.substr(why)));
}

EngineProcess::~EngineProcess() { end(SIGTERM); }

void EngineProcess::end(int signal) {
  if (pid_ <= 0) return;
  ::kill(pid_, signal);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

OwnDockerEngine::OwnDockerEngine(OwnEngineSetup setup)
    : setup_(std::move(setup)), engine_("unix://" + folder_.file("socket")) {
  if (::access("/usr/sbin/dockerd", X_OK) != 0) skip_test("dockerd is not installed");
  if (::geteuid() != 0) skip_test("starting dockerd needs root");
  std::filesystem::create_directory(data());
  if (setup_.megabytes > 0) {
    const std::string options = "size=" + std::to_string(setup_.megabytes) + "m";
    if (::mount("tmpfs", data().c_str(), "tmpfs", 0, options.c_str()) != 0)
      skip_test("a small file system cannot be mounted here");
    mounted_ = true;
  }
  if (setup_.tcp) port_ = local_port(listen_tcp("127.0.0.1", 0).value());
  start();
}

OwnDockerEngine::~OwnDockerEngine() {
  process_.reset();
  if (mounted_) ::umount2(data().c_str(), MNT_DETACH);
}

std::vector<std::string> OwnDockerEngine::command() const {
  // No rules of the machine's firewall, which belong to whatever engine is there besides.
  std::vector<std::string> words{"/usr/sbin/dockerd",
                                 "--data-root",
                                 data(),
                                 "--exec-root",
                                 folder_.file("exec"),
                                 "--pidfile",
                                 folder_.file("pid"),
                                 "--bridge",
                                 "none",
                                 "--iptables=false",
                                 "--ip6tables=false",
                                 "--ip-forward=false",
                                 "--ip-masq=false",
                                 "--host",
                                 engine_.host()};
  if (!setup_.tcp) return words;
  words.insert(words.end(), {"--host", tcp_host()});
  if (setup_.tls.empty()) {
    words.emplace_back("--tls=false");
  } else {
    words.insert(words.end(), {"--tlsverify", "--tlscacert", setup_.tls + "/ca.pem", "--tlscert",
                               setup_.tls + "/server-cert.pem", "--tlskey", setup_.tls + "/server-key.pem"});
  }
  return words;
}

void OwnDockerEngine::start() {
  process_.reset();
  process_.emplace(command(), folder_.file("log"), engine_);
}

void OwnDockerEngine::kill() {
  process_->end(SIGKILL);
  // Its containerd goes with it; where nobody reaps that, the next life would take it for alive.
  std::filesystem::remove(folder_.file("exec/containerd/containerd.pid"));
}

PodmanService::PodmanService() : engine_("unix://" + folder_.file("socket")) {
  if (::access("/usr/bin/podman", X_OK) != 0)
    skip_test("podman is not installed (SERVERLEDGE_TEST_PODMAN=1 tests/run.sh installs it)");
  if (::geteuid() != 0) skip_test("containers that a node reaches need Podman as root");
  std::filesystem::create_directory(folder_.file("networks"));
  std::vector<std::string> words{"/usr/bin/podman",
                                 "--root",
                                 folder_.file("root"),
                                 "--runroot",
                                 folder_.file("run"),
                                 "--tmpdir",
                                 folder_.file("tmp"),
                                 "--network-config-dir",
                                 folder_.file("networks"),
                                 "--cgroup-manager",
                                 "cgroupfs",
                                 "--events-backend",
                                 "file"};
  if (::access("/usr/bin/crun", X_OK) != 0) words.insert(words.end(), {"--runtime", "/usr/sbin/runc"});
  words.insert(words.end(), {"system", "service", "--time=0", engine_.host()});
  process_.emplace(words, folder_.file("log"), engine_);
}

PodmanService::~PodmanService() {
  process_.reset();
  // It has mounted its data on itself.
  ::umount2(folder_.file("root/overlay").c_str(), MNT_DETACH);
}

EngineProxy::EngineProxy(const std::string& engine_socket, bool tcp) : engine_(engine_socket) {
  const std::string path = folder_.file("proxy");
  listener_ = tcp ? listen_tcp("127.0.0.1", 0).value() : listen_unix(path).value();
  host_ = tcp ? "tcp://127.0.0.1:" + std::to_string(local_port(listener_)) : "unix://" + path;
  acceptor_ = std::jthread([this] { accept_all(); });
}

EngineProxy::~EngineProxy() {
  stopping_ = true;
  acceptor_.join();
  servers_.clear();
}

void EngineProxy::accept_all() {
  while (!stopping_) {
    pollfd event{listener_.get(), POLLIN, 0};
    if (::poll(&event, 1, 50) != 1) continue;
    const int client = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    const std::scoped_lock lock(mutex_);
    servers_.emplace_back([this, client] { serve(client); });
  }
}

void EngineProxy::serve(int client_fd) {
  const FileDescriptor client(client_fd);
  const FileDescriptor engine(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = address_of(engine_);
  if (::connect(engine.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return;
  bool from_client = false;  // what came last: bytes of ours after bytes of the engine's begin a request
  char buffer[65536];
  while (!stopping_) {
    pollfd events[2] = {{client.get(), POLLIN, 0}, {engine.get(), POLLIN, 0}};
    if (::poll(events, hangs_ ? 1 : 2, 20) <= 0) continue;
    for (int side = 0; side < 2; ++side) {
      if (events[side].revents == 0 || (hangs_ && side == 1)) continue;
      const ssize_t got = ::read(events[side].fd, buffer, sizeof(buffer));
      if (got <= 0) return;
      if (side == 0 && !from_client) ++requests_;
      from_client = side == 0;
      if (::send(events[1 - side].fd, buffer, static_cast<std::size_t>(got), MSG_NOSIGNAL) != got) return;
    }
  }
}

}  // namespace serverledge::test
