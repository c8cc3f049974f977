#include "executor_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "serverledge/core/json.hpp"
#include "support/skip.hpp"

namespace serverledge::test {
namespace {

constexpr int kPatienceMs = 40'000;
constexpr std::string_view kListening = "listening on port ";

std::string text_of(const JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  return std::string(value ? value->as_string().value_or("<not a string>") : "");
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

}  // namespace

ExecutorAnswer parse_answer(const std::string& answer) {
  INFO(answer.substr(0, 400));
  ExecutorAnswer parsed;
  parsed.status = status_of(answer);
  const std::string body = body_of(answer);
  const Result<JsonDocument> document = JsonDocument::parse(body);
  REQUIRE(document);
  const JsonValue root = document->root();
  const auto success = root.find("Success");
  REQUIRE(success);
  REQUIRE(success->as_bool());
  parsed.success = *success->as_bool();
  parsed.has_result = root.find("Result").has_value();
  parsed.result = text_of(root, "Result");
  parsed.output = text_of(root, "Output");
  if (const auto error = root.find("Error")) {
    parsed.kind = text_of(*error, "Kind");
    parsed.message = text_of(*error, "Message");
    parsed.traceback = text_of(*error, "Traceback");
  }
  REQUIRE(parsed.success == parsed.kind.empty());
  return parsed;
}

std::unique_ptr<ExecutorProcess> ExecutorProcess::python(const Texts& files, const Texts& environment) {
  return std::unique_ptr<ExecutorProcess>(
      new ExecutorProcess({PYTHON_PROGRAM, LIBEXEC_FOLDER "/python/worker_http.py"}, files, environment));
}

std::unique_ptr<ExecutorProcess> ExecutorProcess::nodejs(const Texts& files, const Texts& environment) {
  if (::access(NODEJS_PROGRAM, X_OK) != 0) skip_test("there is no Node.js");
  return std::unique_ptr<ExecutorProcess>(
      new ExecutorProcess({NODEJS_PROGRAM, LIBEXEC_FOLDER "/nodejs/worker_http.js"}, files, environment));
}

std::unique_ptr<ExecutorProcess> ExecutorProcess::custom(const Texts& environment, const Texts& files) {
  return std::unique_ptr<ExecutorProcess>(
      new ExecutorProcess({LIBEXEC_FOLDER "/serverledge-executor"}, files, environment));
}

ExecutorProcess::ExecutorProcess(const std::vector<std::string>& command, const Texts& files,
                                 Texts environment) {
  std::filesystem::create_directory(folder());
  std::filesystem::create_directory(temporary());
  for (const auto& [name, content] : files) std::ofstream(folder() + '/' + name, std::ios::binary) << content;
  environment.try_emplace("EXECUTOR_PORT", "0");
  environment.try_emplace("TMPDIR", temporary());
  environment.try_emplace("APP", folder());
  environment.try_emplace("PATH", "/usr/bin:/bin");
  start(command, environment);
}

void ExecutorProcess::start(const std::vector<std::string>& command, const Texts& environment) {
  std::vector<std::string> variables;
  for (const auto& [name, value] : environment) variables.push_back(name + '=' + value);
  const std::vector<char*> words = pointers(command);
  const std::vector<char*> raw_environment = pointers(variables);
  std::array<int, 2> pipe{};
  REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
  error_ = pipe[0];
  pid_ = ::fork();
  if (pid_ == 0) {
    const int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, 0);
    ::dup2(null, 1);
    ::dup2(pipe[1], 2);
    ::syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
    ::execve(words[0], words.data(), raw_environment.data());
    ::_exit(127);
  }
  ::close(pipe[1]);
  REQUIRE(pid_ > 0);
}

ExecutorProcess::~ExecutorProcess() {
  if (error_ >= 0) ::close(error_);
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

int ExecutorProcess::port() const {
  auto& self = const_cast<ExecutorProcess&>(*this);  // learnt at the first need: it may also be meant to fail
  while (port_ == 0) {
    pollfd watched{error_, POLLIN, 0};
    REQUIRE(::poll(&watched, 1, kPatienceMs) == 1);
    std::array<char, 256> bytes{};
    const ssize_t got = ::read(error_, bytes.data(), bytes.size());
    INFO(said_);
    REQUIRE(got > 0);
    self.said_.append(bytes.data(), static_cast<std::size_t>(got));
    const std::size_t at = said_.find(kListening);
    if (at == std::string::npos || said_.find('\n', at) == std::string::npos) continue;
    const char* const digits = said_.data() + at + kListening.size();
    std::from_chars(digits, said_.data() + said_.size(), self.port_);
  }
  return port_;
}

ExecutorAnswer ExecutorProcess::post(std::string_view path, const std::string& body) const {
  return parse_answer(connect().ask(test::post(path, body)));
}

std::string ExecutorProcess::call(const std::string& handler, const std::string& params,
                                  const std::string& more) const {
  return fmt::format(R"({{"Handler":"{}","HandlerDir":"{}","Params":{},"ReturnOutput":true{}}})", handler,
                     folder(), params, more);
}

int ExecutorProcess::wait() {
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  pollfd watched{fd, POLLIN, 0};
  const int ended = ::poll(&watched, 1, kPatienceMs);
  ::close(fd);
  REQUIRE(ended == 1);
  int status = 0;
  REQUIRE(::waitpid(pid_, &status, 0) == pid_);
  pid_ = -1;
  return status;
}

std::string ExecutorProcess::complaint() {
  CHECK(WEXITSTATUS(wait()) == 1);
  std::array<char, 1024> bytes{};
  ssize_t got = 0;
  while ((got = ::read(error_, bytes.data(), bytes.size())) > 0)
    said_.append(bytes.data(), static_cast<std::size_t>(got));
  return said_;
}

}  // namespace serverledge::test
