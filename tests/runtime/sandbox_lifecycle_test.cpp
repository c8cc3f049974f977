// What the sandbox runtime leaves on the machine, and what it survives.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <set>
#include <thread>
#include <vector>

#include "net/file_descriptor.hpp"
#include "runtime/sandbox/cgroup_tree.hpp"
#include "runtime/sandbox_under_test.hpp"
#include "support/eventually.hpp"
#include "support/traces.hpp"

namespace serverledge::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAnswer = "def handler(params, context):\n    return 42\n";
constexpr const char* kSleep = "import time\ndef handler(params, context):\n    time.sleep(1000)\n";

std::size_t open_descriptors() {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator("/proc/self/fd"), {}));
}

TEST_CASE("200 sandboxes come and go without anything growing", "[lifecycle]") {
  SandboxUnderTest under_test;
  const Function python = under_test.python(kAnswer);
  const Function nodejs = under_test.nodejs("module.exports = () => 42;\n");
  auto cycle = [&](const Function& function) {
    auto container = start(under_test, function);
    REQUIRE(call(*container).result == "42");
    container->destroy();
  };
  cycle(python);
  cycle(nodejs);
  const std::string id = under_test.lock().id();
  const std::size_t descriptors = open_descriptors();
  const std::size_t groups = cgroups_of(id).size();
  const std::set<int> processes = processes_with(under_test.store());
  for (int n = 0; n < 200; ++n) cycle(n % 20 == 0 ? nodejs : python);
  CHECK(open_descriptors() == descriptors);
  CHECK(mounts_with(id) == 0);  // all are in the launcher's namespace and below
  CHECK(mounts_with(under_test.store()) == 0);
  CHECK(cgroups_of(id).size() == groups);
  CHECK(processes_with(under_test.store()) == processes);
  CHECK(std::distance(fs::directory_iterator(under_test.lock().folder()), {}) ==
        1);  // where the root is built
}

TEST_CASE("a runtime that ends leaves nothing, not even for containers that were never destroyed",
          "[lifecycle]") {
  auto under_test = std::make_unique<SandboxUnderTest>();
  const std::string store = under_test->store();
  const std::string id = under_test->lock().id();
  const std::string folder = under_test->lock().folder();
  const std::size_t descriptors = open_descriptors();
  auto container = start(*under_test, under_test->python(kSleep));
  auto reply = std::async(std::launch::async, [&] { return call(*container, "{}", 60); });
  under_test->runtime().shutdown();
  CHECK(reply.get().failure);
  CHECK(processes_with(store).empty());
  container.reset();
  CHECK(open_descriptors() < descriptors);
  under_test->stop();
  CHECK(cgroups_of(id).empty());
  CHECK_FALSE(fs::exists(folder));
  CHECK_FALSE(fs::exists(folder + ".lock"));
}

TEST_CASE("a runtime that ends while containers start leaves none of them", "[lifecycle]") {
  for (int round = 0; round < 5; ++round) {
    SandboxUnderTest under_test;
    const std::string id = under_test.lock().id();
    const Function function = under_test.python(kAnswer);
    std::atomic<int> started = 0;
    std::vector<std::thread> starters;
    starters.reserve(3);
    for (int n = 0; n < 3; ++n) {
      starters.emplace_back([&] {
        while (under_test.runtime().create(function, later(system_clock().now(), from_seconds(600))))
          ++started;
      });
    }
    CHECK(eventually([&] { return started > 2 * round; }));
    under_test.runtime().shutdown();
    for (std::thread& starter : starters) starter.join();
    CHECK(processes_with(under_test.store()).empty());
    under_test.stop();
    CHECK(cgroups_of(id).empty());
  }
}

/// A process that runs `body` and is killed with this object. Made before the test has threads.
class Child {
 public:
  explicit Child(const std::function<void()>& body) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    from_.reset(ends[0]);
    FileDescriptor to(ends[1]);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ > 0) return;
    try {
      told_ = to.get();
      body();
    } catch (...) {
    }
    ::_exit(1);
  }
  ~Child() { end(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// From inside: hands a line over.
  static void tell(const std::string& text) {
    const std::string line = text + '\n';
    if (::write(told_, line.data(), line.size()) < 0) ::_exit(1);
  }
  /// From outside: the next line; empty at the end.
  std::string line() const {
    std::string text;
    char c = 0;
    while (::read(from_.get(), &c, 1) == 1 && c != '\n') text += c;
    return text;
  }
  void end() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  inline static int told_ = -1;
  pid_t pid_ = -1;
  FileDescriptor from_;
};

/// Starts a runtime with a Python and a Node.js instance that are inside a call, and tells where and who.
void hold_a_runtime() {
  SandboxUnderTest under_test;
  auto python = start(under_test, under_test.python(kSleep));
  auto nodejs = start(under_test, under_test.nodejs("module.exports = () => new Promise(() => {});\n"));
  auto first = std::async(std::launch::async, [&] { call(*python, "{}", 600); });
  auto second = std::async(std::launch::async, [&] { call(*nodejs, "{}", 600); });
  Child::tell(under_test.store());
  Child::tell(under_test.lock().run_root());
  Child::tell(under_test.lock().id());
  for (;;) ::pause();
}

TEST_CASE("after SIGKILL all processes are gone, and the next node removes the rest", "[lifecycle]") {
  Child child(hold_a_runtime);
  const std::string store = child.line();
  const std::string run_root = child.line();
  const std::string id = child.line();
  REQUIRE_FALSE(id.empty());
  CHECK(processes_with(store).size() >= 6);  // PID 1, zygote, two inits, two workers
  child.end();
  CHECK(eventually([&] { return processes_with(store).empty(); }));

  const bool groups_left = !cgroups_of(id).empty();
  CHECK(fs::exists(run_root + '/' + id + ".lock"));
  SECTION("another node") {
    SandboxUnderTest next(nullptr, "", run_root);
    CHECK(next.lock().id() != id);
    CHECK(cgroups_of(id).empty());
    CHECK_FALSE(fs::exists(run_root + '/' + id + ".lock"));
    CHECK_FALSE(fs::exists(run_root + '/' + id));
    auto container = start(next, next.python(kAnswer));
    CHECK(call(*container).result == "42");
  }
  SECTION("the same node, again") {
    SandboxUnderTest next(nullptr, store, run_root);
    CHECK(next.lock().id() == id);
    auto container = start(next, next.python(kAnswer));
    CHECK(call(*container).result == "42");
    // What it has now is its own: one sandbox, and the node's folder in each hierarchy.
    container.reset();
    next.stop();
    CHECK(cgroups_of(id).empty());
  }
  INFO((groups_left ? "control groups were left" : "no control groups here"));
  fs::remove_all(fs::path(store).parent_path());
}

TEST_CASE("the death of the launcher is told, and the next start brings a new one", "[lifecycle]") {
  SandboxUnderTest under_test;
  auto container = start(under_test, under_test.python(kSleep));
  auto reply = std::async(std::launch::async, [&] { return call(*container, "{}", 60); });
  const std::set<int> processes = processes_with(under_test.store());
  REQUIRE(processes.size() >= 4);
  // PID 1 is the oldest.
  ::kill(*processes.begin(), SIGKILL);
  const Reply ended = reply.get();
  REQUIRE(ended.failure);
  CHECK(ended.failure->kind == FailureKind::kCrashed);
  CHECK(ended.failure->message == "the function's sandbox was killed");
  CHECK_FALSE(container->alive());
  auto next = start(under_test, under_test.python(kAnswer));
  CHECK(call(*next).result == "42");
}

TEST_CASE("the death of the zygote ends no sandbox, and the next start brings a new one", "[lifecycle]") {
  SandboxUnderTest under_test;
  auto container = start(under_test, under_test.python(kAnswer));
  for (const int pid : processes_with(under_test.store())) {
    const std::string folder = "/proc/" + std::to_string(pid);
    const std::string status = read_whole(folder + "/status");
    const std::size_t ids = status.find("NSpid:");
    const std::string line = status.substr(ids, status.find('\n', ids) - ids);
    // It lives in the launcher's PID namespace, its forks in ones of their own below that.
    const bool is_zygote = read_whole(folder + "/cmdline").find("zygote.py") != std::string::npos &&
                           std::count(line.begin(), line.end(), '\t') == 2;
    if (is_zygote) ::kill(pid, SIGKILL);
  }
  auto next = start(under_test, under_test.python(kAnswer));
  CHECK(call(*next).result == "42");
  CHECK(call(*container).result == "42");
}

TEST_CASE("it works where the process ignores SIGCHLD, and changes nothing of the process", "[lifecycle]") {
  struct sigaction before[NSIG] = {};
  ::signal(SIGCHLD, SIG_IGN);
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, nullptr, &before[number]);
  const mode_t mask = ::umask(0007);
  const fs::path folder = fs::current_path();
  const std::string groups = read_whole("/proc/self/cgroup");
  {
    SandboxUnderTest under_test;
    auto container = start(under_test, under_test.python(kAnswer));
    CHECK(call(*container).result == "42");
    auto other = start(under_test, under_test.nodejs("module.exports = () => 42;\n"));
    CHECK(call(*other).result == "42");
    CHECK(::umask(0007) == 0007);
    CHECK(read_whole("/proc/self/cgroup") == groups);
    CHECK(fs::current_path() == folder);
  }
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction after {};
    ::sigaction(number, nullptr, &after);
    CHECK(after.sa_handler == before[number].sa_handler);
  }
  ::umask(mask);
  ::signal(SIGCHLD, SIG_DFL);
}

TEST_CASE("two runtimes in one process do not see each other", "[lifecycle]") {
  SandboxUnderTest first;
  auto second = std::make_unique<SandboxUnderTest>();
  CHECK(first.lock().id() != second->lock().id());
  auto one = start(first, first.python(kAnswer));
  auto two = start(*second, second->python(kAnswer));
  CHECK(call(*two).result == "42");
  two.reset();
  second.reset();
  CHECK(call(*one).result == "42");
  auto more = start(first, first.python(kAnswer));
  CHECK(call(*more).result == "42");
}

TEST_CASE("a sandbox inherits no descriptor of the node, also of those that are not close-on-exec",
          "[lifecycle]") {
  TemporaryFolder folder;
  std::ofstream(folder.file("secret")) << "secret";
  const FileDescriptor left_open(::open(folder.file("secret").c_str(), O_RDONLY));  // as a careless host may
  REQUIRE(left_open.valid());
  SandboxUnderTest under_test;
  auto python =
      start(under_test, under_test.python("import os\n"
                                          "def handler(params, context):\n"
                                          "    links = []\n"
                                          "    for fd in os.listdir('/proc/self/fd'):\n"
                                          "        try:\n"
                                          "            links.append(os.readlink('/proc/self/fd/' + fd))\n"
                                          "        except OSError:\n"
                                          "            pass\n"
                                          "    return sorted(link.split(':')[0] for link in links)\n"));
  CHECK(call(*python).result.find("secret") == std::string::npos);
  // Standard input, output and error, the listener and one connection, the listing itself.
  CHECK(call(*python).result.find(R"(["/dev/null","/dev/null","/dev/null")") == 0);
}

TEST_CASE("what cannot be set up is told with what is missing", "[lifecycle]") {
  TemporaryFolder folder;
  Observer observer;
  const auto archive = make_code_archive({.folder = folder.file("code")}, system_clock());
  SourceCode codes;
  Result<NodeLock> lock = NodeLock::acquire("", folder.file("run"));
  REQUIRE(lock);
  SandboxOptions options;
  options.code = folder.file("code");
  auto make = [&] {
    return make_sandbox_runtime(options, *lock, **archive, codes, observer, system_clock());
  };
  SECTION("no launcher") {
    options.libexec = folder.file("nothing");
    const auto runtime = make();
    REQUIRE_FALSE(runtime);
    CHECK(runtime.error().message.find("serverledge-launcher") != std::string::npos);
    CHECK(runtime.error().message.find("sandbox.libexec") != std::string::npos);
  }
  SECTION("no interpreter at all") {
    options.python = folder.file("no-python");
    options.node = folder.file("no-node");
    const auto runtime = make();
    REQUIRE_FALSE(runtime);
    CHECK(runtime.error().message.find("sandbox.python") != std::string::npos);
  }
  SECTION("interpreters that sandboxes cannot see") {
    // /tmp of a sandbox is its own.
    const std::string hidden = (fs::path("/tmp") / folder.path().filename()).string();
    fs::create_directories(hidden + "/bin");
    fs::create_symlink("/usr/bin/python3", hidden + "/bin/python3");
    options.python = hidden + "/bin/python3";
    options.node = "";
    const auto runtime = make();
    fs::remove_all(hidden + "/bin");
    REQUIRE_FALSE(runtime);
    CHECK(runtime.error().message.find("sandbox.python: " + hidden + "/bin/python3") == 0);
    CHECK(runtime.error().message.find("/tmp of their own") != std::string::npos);
  }
  SECTION("one of the two") {
    options.node = folder.file("no-node");
    const auto runtime = make();
    REQUIRE(runtime);
    CHECK((*runtime)->serves("python314"));
    CHECK_FALSE((*runtime)->serves("nodejs17ng"));
    bool told = false;
    for (const std::string& notice : (*runtime)->notices())
      told |= notice.find("no-node") != std::string::npos;
    CHECK(told);
    CHECK((*runtime)->stock_plans().size() == 1);
  }
  SECTION("an interpreter that is none") {
    options.node = "/bin/true";
    options.python = "/bin/true";
    CHECK_FALSE(make());
  }
}

TEST_CASE("without control groups the watcher ends what takes too much memory", "[lifecycle]") {
  SandboxUnderTest under_test;
  if (under_test.bounds_memory()) return;
  const bool in_python = GENERATE(true, false);
  auto container =
      start(under_test, in_python ? under_test.python("import time\n"
                                                      "def handler(params, context):\n"
                                                      "    kept = bytearray(300 << 20)\n"
                                                      "    time.sleep(1000)\n")
                                  : under_test.nodejs("module.exports = () => {\n"
                                                      "  const kept = Buffer.alloc(300 << 20, 1);\n"
                                                      "  return new Promise(() => kept);\n"
                                                      "};\n"));
  auto innocent = start(under_test, under_test.python(kAnswer));
  auto reply = std::async(std::launch::async, [&] { return call(*container, "{}", 60); });
  while (reply.wait_for(std::chrono::milliseconds(10)) == std::future_status::timeout)
    under_test.runtime().watch();
  const Reply ended = reply.get();
  REQUIRE(ended.failure);
  CHECK(ended.failure->kind == FailureKind::kMemory);
  CHECK(ended.failure->message == "the function exceeded its memory limit of 128 MB");
  CHECK(call(*innocent).result == "42");
}

/// Makes a system call fail with EPERM for the rest of this process's life and all its children.
void forbid(int number) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{4, filter};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
    ::_exit(2);
  }
}

std::string error_when_forbidden(int number) {
  Child child([number] {
    forbid(number);
    TemporaryFolder folder;
    Observer observer;
    const auto archive = make_code_archive({.folder = folder.file("code")}, system_clock());
    SourceCode codes;
    Result<NodeLock> lock = NodeLock::acquire("", folder.file("run"));
    SandboxOptions options;
    options.code = folder.file("code");
    const auto runtime = make_sandbox_runtime(options, *lock, **archive, codes, observer, system_clock());
    Child::tell(runtime ? "it started"
                        : (runtime.error().code == ErrorCode::kUnsupported ? "unsupported: " : "other: ") +
                              runtime.error().message);
  });
  std::string error = child.line();
  CHECK(child.line().empty());  // it has ended, and cleaned up
  return error;
}

TEST_CASE("where namespaces or mounts are refused the missing right and the ways on are named",
          "[lifecycle]") {
  const std::string no_unshare = error_when_forbidden(SYS_unshare);
  CAPTURE(no_unshare);
  CHECK(no_unshare.find("unsupported: ") == 0);
  CHECK(no_unshare.find("namespace: Operation not permitted") != std::string::npos);
  CHECK(no_unshare.find("container.runtime: docker") != std::string::npos);
  const std::string no_mount = error_when_forbidden(SYS_mount);
  CAPTURE(no_mount);
  CHECK(no_mount.find("unsupported: ") == 0);
  CHECK(no_mount.find("Operation not permitted") != std::string::npos);
  const std::string no_filter = error_when_forbidden(SYS_pivot_root);
  CAPTURE(no_filter);
  CHECK(no_filter.find("change the root") != std::string::npos);
}

}  // namespace
}  // namespace serverledge::test
