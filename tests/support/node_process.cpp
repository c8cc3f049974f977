#include "support/node_process.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <utility>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/json.hpp"
#include "serverledge/net/base64.hpp"

extern char** environ;

namespace serverledge::test {
namespace {

constexpr std::string_view kAddress = "http://127.0.0.1:";

std::vector<std::string> joined_environment(const std::map<std::string, std::string>& changes) {
  std::map<std::string, std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    // What configures the node on the outside must not configure it here.
    if (equals == std::string_view::npos || text.starts_with("SERVERLEDGE_")) continue;
    all[std::string(text.substr(0, equals))] = text.substr(equals + 1);
  }
  for (const auto& [name, value] : changes) all[name] = value;
  std::vector<std::string> out;
  for (const auto& [name, value] : all) out.push_back(name + "=" + value);
  return out;
}

}  // namespace

NodeProcess::NodeProcess(Options options)
    : program_(std::move(options.program)),
      environment_(joined_environment(options.environment)),
      client_({}, system_clock()) {
  std::map<std::string, std::string> settings{
      {"api.listen", "127.0.0.1"}, {"api.port", "0"}, {"store.path", store().string()}};
  for (auto& [key, value] : options.settings) settings[key] = std::move(value);
  std::ofstream file(folder_.file("node.yaml"));
  for (const auto& [key, value] : settings) file << key << ": \"" << value << "\"\n";
  file.close();
  start();
}

NodeProcess::~NodeProcess() {
  if (pid_ > 0 && !ended_) {
    ::kill(pid_, SIGTERM);
    // The node bounds its own end by api.drain; should it not, ctest's time limit ends the test.
    wait();
  }
}

void NodeProcess::start() {
  // What an earlier life started may hold its log open a little longer.
  if (reader_.joinable()) reader_.join();
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  const std::string file = folder_.file("node.yaml");
  std::vector<char*> environment;
  for (std::string& entry : environment_) environment.push_back(entry.data());
  environment.push_back(nullptr);
  const std::array<const char*, 3> arguments{program_.c_str(), file.c_str(), nullptr};
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that is aborted leaves no node behind
    ::dup2(pipe[1], STDOUT_FILENO);
    ::dup2(pipe[1], STDERR_FILENO);
    ::execve(arguments[0], const_cast<char* const*>(arguments.data()), environment.data());
    ::_exit(127);
  }
  ::close(pipe[1]);
  ended_.reset();
  std::size_t begin = 0;
  {
    const std::scoped_lock lock(mutex_);
    begin = log_.size();
    log_ended_ = false;
  }
  reader_ = std::jthread([this, from = pipe[0]] { read_log(from); });
  std::unique_lock lock(mutex_);
  const auto address = [&] {
    const std::size_t at = log_.find(kAddress, begin);
    return at != std::string::npos && log_.find('\n', at) != std::string::npos;
  };
  logged_.wait_for(lock, std::chrono::seconds(60), [&] { return address() || log_ended_; });
  const bool there = address();
  if (there) port_ = std::atoi(log_.c_str() + log_.find(kAddress, begin) + kAddress.size());
  lock.unlock();
  if (!there) fail("the node has not started");
}

void NodeProcess::read_log(int from) {
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t size = ::read(from, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    const std::scoped_lock lock(mutex_);
    if (size <= 0) {
      log_ended_ = true;
      logged_.notify_all();
      break;
    }
    log_.append(buffer.data(), static_cast<std::size_t>(size));
    logged_.notify_all();
  }
  ::close(from);
}

std::string NodeProcess::log() const {
  const std::scoped_lock lock(mutex_);
  return log_;
}

bool NodeProcess::wait_for_log(std::string_view text) {
  std::unique_lock lock(mutex_);
  return logged_.wait_for(lock, std::chrono::seconds(30),
                          [&] { return log_.find(text) != std::string::npos; });
}

void NodeProcess::fail(const std::string& what) const {
  throw std::runtime_error(what + "; its log:\n" + log());
}

void NodeProcess::signal(int number) const {
  if (!ended_) ::kill(pid_, number);
}

int NodeProcess::wait() {
  if (!ended_) {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    ended_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  return *ended_;
}

int NodeProcess::stop() {
  signal(SIGTERM);
  return wait();
}

Result<HttpResponse> NodeProcess::request(HttpRequest request, Duration within) const {
  return client_.request(HttpTarget::tcp("127.0.0.1", port_), request, std::chrono::seconds(5),
                         later(system_clock().now(), within));
}

HttpResponse NodeProcess::get(const std::string& path, HttpHeaders headers) const {
  HttpRequest call;
  const std::size_t query = std::min(path.find('?'), path.size());
  call.path = path.substr(0, query);
  if (query < path.size()) call.query = path.substr(query + 1);
  call.headers = std::move(headers);
  Result<HttpResponse> answer = request(std::move(call), std::chrono::minutes(1));
  if (!answer) fail("GET " + path + ": " + answer.error().message);
  return std::move(*answer);
}

HttpResponse NodeProcess::post(const std::string& path, std::string body, HttpHeaders headers) const {
  HttpRequest call;
  call.method = "POST";
  call.path = path;
  call.headers = std::move(headers);
  call.body = std::move(body);
  Result<HttpResponse> answer = request(std::move(call), std::chrono::minutes(1));
  if (!answer) fail("POST " + path + ": " + answer.error().message);
  return std::move(*answer);
}

void NodeProcess::create(const std::string& name, const std::string& runtime, const std::string& handler,
                         const std::string& source, const std::string& fields) const {
  std::string body = "{\"MemoryMB\":128";
  const auto member = [&body](const char* key, const std::string& value) {
    body.append(",\"").append(key).append("\":");
    append_json_string(body, value);
  };
  member("Name", name);
  member("Runtime", runtime);
  member("Handler", handler);
  member("TarFunctionCode", base64_encode(source));
  if (!fields.empty()) body.append(",").append(fields);
  body.push_back('}');
  const HttpResponse answer = post("/update", std::move(body));
  if (answer.status != 200) fail("/update of " + name + ": " + answer.body);
}

void NodeProcess::create_python(const std::string& name, const std::string& source,
                                const std::string& fields) const {
  create(name, "python314", name + ".handler", source, fields);
}

void NodeProcess::create_javascript(const std::string& name, const std::string& source,
                                    const std::string& fields) const {
  create(name, "nodejs17ng", name, source, fields);
}

}  // namespace serverledge::test
