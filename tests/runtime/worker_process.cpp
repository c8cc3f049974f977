#include "worker_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>

#include "serverledge/core/json.hpp"
#include "support/skip.hpp"

namespace serverledge::test {
namespace {

constexpr int kListener = 3;

FileDescriptor listen_at(const std::string& path) {
  FileDescriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  REQUIRE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  REQUIRE(::listen(listener.get(), 16) == 0);
  return listener;
}

std::string json_string(std::string_view text) {
  std::string json;
  append_json_string(json, text);
  return json;
}

// In the child: the listener on its descriptor, nothing else but /dev/null.
[[noreturn]] void become(int listener, const std::vector<char*>& arguments) {
  if (listener == kListener) {
    ::fcntl(listener, F_SETFD, 0);
  } else {
    ::dup2(listener, kListener);
  }
  const int null = ::open("/dev/null", O_RDWR);
  for (const int fd : {0, 1, 2}) ::dup2(null, fd);
  ::syscall(SYS_close_range, kListener + 1, ~0U, 0);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

}  // namespace

WorkerProcess::WorkerProcess(const Options& options) : limits_(options.limits) {
  std::filesystem::create_directory(folder());
  for (const auto& [name, content] : options.files) {
    const std::filesystem::path file = folder() + '/' + name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << content;
  }
}

void WorkerProcess::start(const std::vector<std::string>& arguments, const Options& options) {
  const FileDescriptor listener = listen_at(folder_.file("listener"));
  std::vector<char*> raw;
  raw.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) raw.push_back(const_cast<char*>(argument.c_str()));
  raw.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ == 0) become(listener.get(), raw);
  REQUIRE(pid_ > 0);
  Result<FrameConnection> connected =
      FrameConnection::connect(folder_.file("listener"), options.limits, -1, patience());
  REQUIRE(connected);
  first_ = std::make_unique<FrameConnection>(std::move(*connected));
}

std::unique_ptr<WorkerProcess> WorkerProcess::python(const Options& options) {
  std::unique_ptr<WorkerProcess> worker(new WorkerProcess(options));
  const std::string program =
      fmt::format("import sys\nsys.path.insert(0, {})\nimport worker\ndel sys.path[0]\nworker.serve({})",
                  json_string(WORKERS_FOLDER "/python"), kListener);
  worker->start({PYTHON_PROGRAM, "-I", "-c", program}, options);
  worker->load(options);
  return worker;
}

std::unique_ptr<WorkerProcess> WorkerProcess::nodejs(const Options& options) {
  if (::access(NODEJS_PROGRAM, X_OK) != 0) skip_test("there is no Node.js");
  std::unique_ptr<WorkerProcess> worker(new WorkerProcess(options));
  worker->start({NODEJS_PROGRAM, WORKERS_FOLDER "/nodejs/worker.js", std::to_string(kListener)}, options);
  worker->load(options);
  return worker;
}

void WorkerProcess::load(const Options& options) {
  const std::string what =
      fmt::format(R"({{"Handler":{},"AppDir":{},"Slots":{},"OutputLimit":{},"ResultLimit":{}}})",
                  json_string(options.handler), json_string(folder()), options.slots,
                  options.limits.output_bytes, options.limits.result_bytes);
  REQUIRE(first_->ready(patience()));  // it stands by
  REQUIRE(first_->load(what, patience()));
}

WorkerProcess::~WorkerProcess() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Result<std::string> WorkerProcess::ready() {
  ready_ = true;
  return first_->ready(patience());
}

FrameConnection WorkerProcess::connect() {
  if (!ready_) REQUIRE(ready());
  Result<FrameConnection> connected =
      FrameConnection::connect(folder_.file("listener"), limits_, -1, patience());
  REQUIRE(connected);
  REQUIRE(connected->ready(patience()));
  return std::move(*connected);
}

Result<CallAnswer> WorkerProcess::call(std::string_view params, bool capture) {
  if (!ready_) {
    const Result<std::string> started = ready();
    INFO((started ? "" : started.error().message + '\n' + started.error().detail));
    REQUIRE(started);
  }
  return call_on(*first_, params, capture);
}

Result<CallAnswer> WorkerProcess::call_on(FrameConnection& connection, std::string_view params,
                                          bool capture) {
  const FrameConnection::Call call{
      .id = ++last_id_,
      .context =
          R"({"RequestId":"f-1","Function":"f","Deadline":30.5,"MemoryMB":128,"Traceparent":"00-1-2-03"})",
      .params = params,
      .capture_output = capture};
  return connection.call(call, patience());
}

std::string WorkerProcess::result(std::string_view params) {
  const Result<CallAnswer> answer = call(params);
  INFO((answer ? "" : answer.error().message));
  REQUIRE(answer);
  INFO((answer->failure ? answer->failure->message + '\n' + answer->failure->traceback : ""));
  REQUIRE_FALSE(answer->failure);
  return answer->result;
}

Failure WorkerProcess::failure(std::string_view params) {
  const Result<CallAnswer> answer = call(params);
  INFO((answer ? answer->result : answer.error().message));
  REQUIRE(answer);
  REQUIRE(answer->failure);
  return *answer->failure;
}

int WorkerProcess::wait() {
  const FileDescriptor fd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  pollfd watched{fd.get(), POLLIN, 0};
  REQUIRE(::poll(&watched, 1, 40000) == 1);
  int status = 0;
  REQUIRE(::waitpid(pid_, &status, 0) == pid_);
  pid_ = -1;
  return status;
}

}  // namespace serverledge::test
