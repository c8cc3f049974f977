#include <arpa/inet.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <clocale>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <thread>

#include "serverledge/assembly/open_node.hpp"
#include "serverledge/net/http_client.hpp"
#include "support/eventually.hpp"
#include "support/skip.hpp"
#include "support/temporary_folder.hpp"

extern char** environ;

// A node in a process that has a life of its own.
namespace serverledge::test {
namespace {

constexpr const char* kSource = "def handler(params, context):\n    return params['n'] * FACTOR\n";

/// A node with a function "times", in this process.
class EmbeddedNode {
 public:
  explicit EmbeddedNode(int factor = 2, const std::string& store = ":memory:") {
    Configuration configuration;
    for (const auto& [key, value] : std::map<std::string, std::string>{{"store.path", store},
                                                                       {"api.listen", "127.0.0.1"},
                                                                       {"api.port", "0"},
                                                                       {"log.level", "error"},
                                                                       {"container.start.timeout", "120"},
                                                                       {"sandbox.stock.nodejs", "0"}}) {
      if (auto set = configuration.set(key, value); !set) FAIL(set.error().message);
    }
    auto opened = open_node(configuration);
    if (!opened && opened.error().code == ErrorCode::kUnsupported) skip_test(opened.error().message);
    if (!opened) FAIL(opened.error().message);
    node_ = std::move(*opened);
    if (auto started = node_->start(); !started) FAIL(started.error().message);
    Function function;
    function.name = "times";
    function.runtime = "python314";
    function.handler = "times.handler";
    function.memory_mb = 64;
    auto stored =
        node_->create_function(std::move(function), "FACTOR = " + std::to_string(factor) + "\n" + kSource);
    if (!stored) FAIL(stored.error().message);
    function_ = *stored;
  }

  /// By a call in the process.
  std::string times(int n) {
    Invocation invocation;
    invocation.function = function_;
    invocation.body = "{\"n\": " + std::to_string(n) + "}";
    invocation.params_size = invocation.body.size();
    const Result<ExecutionReport> report = node_->node().invoke(invocation);
    if (!report) return report.error().message;
    return report->failure ? report->failure->message : report->result;
  }

  /// By a call over HTTP.
  int status_over_http() {
    HttpClient client({}, system_clock());
    HttpRequest request;
    request.method = "POST";
    request.path = "/invoke/times";
    request.body = R"({"Params": {"n": 1}})";
    const Result<HttpResponse> answer =
        client.request(HttpTarget::tcp("127.0.0.1", node_->port()), request, std::chrono::seconds(30),
                       later(system_clock().now(), std::chrono::minutes(2)));
    return answer ? answer->status : 0;
  }

  void stop() { node_->stop(std::chrono::seconds(30)); }

 private:
  std::unique_ptr<OpenedNode> node_;
  FunctionPtr function_;
};

/// What belongs to the whole process, one line for each.
std::vector<std::string> process_state() {
  std::vector<std::string> state;
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action {};
    if (::sigaction(number, nullptr, &action) != 0) continue;
    std::ostringstream line;
    // SA_RESTORER, which libc adds to whatever it sets: also to what was found and is put back.
    line << "signal " << number << ' ' << reinterpret_cast<void*>(action.sa_handler) << ' '
         << (action.sa_flags & ~0x04000000);
    state.push_back(line.str());
  }
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    for (const char* field : {"Umask", "Sig", "Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp:"}) {
      // Pending signals are no state; SigQ counts them.
      if (line.starts_with(field) && !line.starts_with("SigQ") && !line.starts_with("SigPnd"))
        state.push_back(line);
    }
  }
  for (char** entry = environ; *entry != nullptr; ++entry) state.emplace_back(*entry);
  state.push_back(std::filesystem::current_path().string());
  state.emplace_back(std::setlocale(LC_ALL, nullptr));
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) state.push_back(line);
  int subreaper = 0;
  ::prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
  state.push_back("subreaper " + std::to_string(subreaper));
  state.push_back("dumpable " + std::to_string(::prctl(PR_GET_DUMPABLE)));
  for (const int resource : {RLIMIT_NOFILE, RLIMIT_CORE, RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_STACK}) {
    rlimit limit{};
    ::getrlimit(static_cast<__rlimit_resource>(resource), &limit);
    state.push_back("limit " + std::to_string(resource) + ' ' + std::to_string(limit.rlim_cur) + ' ' +
                    std::to_string(limit.rlim_max));
  }
  return state;
}

/// What of the process is not as it was.
std::vector<std::string> changed_since(const std::vector<std::string>& before) {
  std::vector<std::string> changes;
  const std::vector<std::string> now = process_state();
  std::ranges::copy_if(now, std::back_inserter(changes),
                       [&](const std::string& line) { return std::ranges::count(before, line) == 0; });
  if (changes.empty() && now.size() != before.size()) changes.emplace_back("something is gone");
  return changes;
}

/// A server as other people write them: one thread, one answer, and no idea of us.
class ForeignServer {
 public:
  ForeignServer() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(socket_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(socket_, 64) != 0 ||
        ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("cannot listen");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
  }
  ~ForeignServer() {
    thread_.request_stop();
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }

  bool answers() const {
    HttpClient client({}, system_clock());
    const Result<HttpResponse> answer =
        client.request(HttpTarget::tcp("127.0.0.1", port_), HttpRequest{}, std::chrono::seconds(30),
                       later(system_clock().now(), std::chrono::minutes(1)));
    return answer && answer->body == "foreign";
  }

 private:
  void serve(const std::stop_token& stop) const {
    while (!stop.stop_requested()) {
      const int connection = ::accept(socket_, nullptr, nullptr);
      if (connection < 0) continue;
      std::array<char, 4096> request{};
      while (::recv(connection, request.data(), request.size(), 0) < 0 && errno == EINTR) {
      }
      const std::string_view answer =
          "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nforeign";
      ::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);
      ::close(connection);
    }
  }
  int socket_;
  int port_ = 0;
  std::jthread thread_;
};

std::atomic<int> alarms{0};
std::atomic<int> ended_children{0};

/// Signal handlers of the host's, without SA_RESTART, and a timer that interrupts whatever any thread waits
/// in.
class HostSignals {
 public:
  HostSignals() {
    set(SIGALRM, [](int) { ++alarms; });
    set(SIGCHLD, [](int) { ++ended_children; });
    set(SIGPIPE, [](int) {});
    const itimerval often{{0, 2000}, {0, 2000}};
    ::setitimer(ITIMER_REAL, &often, nullptr);
  }
  ~HostSignals() {
    const itimerval never{};
    ::setitimer(ITIMER_REAL, &never, nullptr);
    for (const auto& [number, action] : before_) ::sigaction(number, &action, nullptr);
  }

 private:
  void set(int number, void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    ::sigaction(number, &action, &before_[number]);
  }
  std::map<int, struct sigaction> before_;
};

/// How this process stands: what must not grow.
struct Holdings {
  std::size_t descriptors = 0;
  std::size_t threads = 0;
  std::size_t children = 0;
  std::size_t mounts = 0;
  std::size_t heap = 0;      ///< bytes allocated
  std::size_t resident = 0;  ///< bytes
};

std::size_t entries(const char* folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

Holdings holdings() {
  Holdings now;
  now.descriptors = entries("/proc/self/fd");
  now.threads = entries("/proc/self/task");
  std::ifstream children("/proc/self/task/" + std::to_string(::getpid()) + "/children");
  for (std::string child; children >> child;) ++now.children;
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) ++now.mounts;
  now.heap = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
  std::ifstream pages("/proc/self/statm");
  std::size_t size = 0;
  pages >> size >> now.resident;
  now.resident *= static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return now;
}

}  // namespace

TEST_CASE("An embedded node leaves the host's signals, locale, environment and folders alone") {
  std::setlocale(LC_ALL, "C.UTF-8");
  ::setenv("HOSTS_OWN", "value", 1);
  const TemporaryFolder folder;
  const std::filesystem::path before_here = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  ::umask(0027);
  const HostSignals signals;
  const ForeignServer server;
  const std::vector<std::string> before = process_state();
  const std::vector<std::string> unchanged;
  {
    EmbeddedNode node(2, folder.file("store"));
    CHECK(changed_since(before) == unchanged);
    CHECK(node.times(21) == "42");
    CHECK(node.status_over_http() == 200);
    CHECK(server.answers());
    CHECK(changed_since(before) == unchanged);
    node.stop();
    CHECK(changed_since(before) == unchanged);
  }
  CHECK(changed_since(before) == unchanged);
  CHECK(server.answers());
  CHECK(alarms > 0);
  std::filesystem::current_path(before_here);
}

TEST_CASE("An embedded node runs where the host ignores the end of its children") {
  const auto before = std::signal(SIGCHLD, SIG_IGN);
  {
    EmbeddedNode node;
    CHECK(node.times(3) == "6");
    node.stop();
  }
  CHECK(std::signal(SIGCHLD, before) == SIG_IGN);
}

TEST_CASE("An embedded node runs where the host reaps every child") {
  std::atomic<bool> over{false};
  std::thread reaper([&] {
    while (!over) {
      if (::waitpid(-1, nullptr, WNOHANG) <= 0) std::this_thread::yield();
    }
  });
  {
    EmbeddedNode node;
    CHECK(node.times(3) == "6");
    node.stop();
  }
  over = true;
  reaper.join();
}

TEST_CASE("An embedded node leaves the host's own children to it") {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(7);
  {
    EmbeddedNode node;
    CHECK(node.times(3) == "6");
    node.stop();
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 7);
}

TEST_CASE("Two nodes live in one process") {
  EmbeddedNode twice(2);
  {
    EmbeddedNode thrice(3);
    CHECK(twice.times(5) == "10");
    CHECK(thrice.times(5) == "15");
    std::jthread other([&] {
      for (int n = 0; n < 50; ++n) {
        if (thrice.times(n) != std::to_string(3 * n)) FAIL("the other node");
      }
    });
    for (int n = 0; n < 50; ++n) CHECK(twice.times(n) == std::to_string(2 * n));
    other.join();
    thrice.stop();
  }
  CHECK(twice.times(6) == "12");
  CHECK(twice.status_over_http() == 200);
  twice.stop();
}

// SERVERLEDGE_TEST_CYCLES=200 for the long run.
TEST_CASE("Starting and stopping a node again and again leaves nothing behind") {
  const char* wanted = std::getenv("SERVERLEDGE_TEST_CYCLES");
  const int cycles = wanted == nullptr ? 15 : std::max(15, std::atoi(wanted));
  // Mounts of its own, so that those of others do not count.
  if (::unshare(CLONE_NEWNS) == 0) ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  Holdings tenth;
  for (int cycle = 1; cycle <= cycles; ++cycle) {
    {
      EmbeddedNode node;
      CHECK(node.times(cycle) == std::to_string(2 * cycle));
      node.stop();
    }
    if (cycle == 10) tenth = holdings();
  }
  const Holdings last = holdings();
  CHECK(last.descriptors == tenth.descriptors);
  CHECK(last.threads == tenth.threads);
  CHECK(last.mounts == tenth.mounts);
  // The kernel tells of the end of a process a moment later.
  CHECK(eventually([&] { return holdings().children <= tenth.children; }));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  INFO("heap " << tenth.heap << " -> " << last.heap << ", resident " << tenth.resident << " -> "
               << last.resident);
  CHECK(last.heap < tenth.heap + 64 * 1024);
  CHECK(last.resident < tenth.resident + (std::size_t{8} << 20U));
#endif
}

}  // namespace serverledge::test
