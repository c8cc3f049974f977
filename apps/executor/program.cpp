#include "program.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "serverledge/core/json.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration): no header has it everywhere

namespace serverledge {
namespace {

constexpr const char* kParams = "params.json";
constexpr const char* kResult = "result.json";
constexpr std::size_t kTail = 4096;  // of the output, told with a failure

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

/// How a process is to be started: input and output, signals as a new program expects them, a group of its
/// own.
class SpawnPlan {
 public:
  explicit SpawnPlan(int output) {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    ::posix_spawnattr_init(&attributes);
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes,
                               POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  ~SpawnPlan() {
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

/// The last lines of a text.
std::string_view tail(std::string_view text) {
  if (text.size() <= kTail) return text;
  text.remove_prefix(text.size() - kTail);
  const std::size_t line = text.find('\n');
  return line == std::string_view::npos ? text : text.substr(line + 1);
}

/// Without a UTF-8 sequence that was cut at its end.
std::string_view whole_characters(std::string_view text) {
  for (std::size_t back = 1; back <= 4 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0U) == 0x80U) continue;
    const std::size_t needed = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return back >= needed ? text : text.substr(0, text.size() - back);
  }
  return text;
}

std::string signal_name(int number) {
  const char* name = ::sigabbrev_np(number);
  return name == nullptr ? fmt::format("signal {}", number) : fmt::format("SIG{}", name);
}

}  // namespace

Program::Program(PrivateFolder folder, const CallRequest& call, const ExecutorSettings& settings)
    : settings_(settings), folder_(std::move(folder)), return_output_(call.return_output) {}

Program::~Program() {
  if (pid_ < 0 || waited_for_) return;
  kill_group();
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<std::unique_ptr<Program>> Program::start(const CallRequest& call, const ExecutorSettings& settings,
                                                TimePoint now) {
  Result<PrivateFolder> folder = PrivateFolder::make(settings.folder);
  if (!folder) return Unexpected(folder.error());
  std::unique_ptr<Program> program(new Program(std::move(*folder), call, settings));
  if (call.params) {
    if (const Result<void> written = program->folder_.write(kParams, *call.params); !written)
      return Unexpected(written.error());
  }
  if (const Result<void> started = program->spawn(call, now); !started) return Unexpected(started.error());
  return program;
}

std::vector<std::string> Program::environment(const CallRequest& call) const {
  std::vector<std::pair<std::string, std::string>> ours = {
      {"PARAMS_FILE", call.params ? folder_.file(kParams) : ""},
      {"RESULT_FILE", folder_.file(kResult)},
      {"HANDLER", call.handler},
      {"HANDLER_DIR", call.handler_dir}};
  if (call.context) ours.emplace_back("CONTEXT", *call.context);
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view name = std::string_view(*variable).substr(0, std::strcspn(*variable, "="));
    bool replaced = false;
    for (const auto& [key, value] : ours) replaced = replaced || key == name;
    if (!replaced) variables.emplace_back(*variable);
  }
  for (const auto& [key, value] : ours) variables.push_back(key + '=' + value);
  return variables;
}

Result<void> Program::spawn(const CallRequest& call, TimePoint now) {
  std::vector<std::string> words = call.command.empty() ? settings_.command : call.command;
  std::vector<std::string> variables = environment(call);
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) {
    return Unexpected(ErrorCode::kUnavailable,
                      fmt::format("cannot make a pipe: {}", ::strerrordesc_np(errno)));
  }
  output_.reset(pipe[0]);
  const FileDescriptor inherited(pipe[1]);
  ::fcntl(output_.get(), F_SETFL, O_NONBLOCK);
  const SpawnPlan plan(inherited.get());
  const int error = ::posix_spawnp(&pid_, words[0].c_str(), &plan.actions, &plan.attributes,
                                   pointers(words).data(), pointers(variables).data());
  if (error != 0) {
    pid_ = -1;
    return Unexpected(ErrorCode::kUnavailable,
                      fmt::format("cannot run \"{}\": {}", words[0], ::strerrordesc_np(error)));
  }
  if (settings_.timeout) deadline_ = later(now, *settings_.timeout);
  return {};
}

void Program::read_output() {
  std::array<char, 64 * 1024> bytes;
  for (int chunks = 0; output_.valid() && chunks < 16; ++chunks) {  // an endless writer must not keep us here
    const ssize_t got = ::read(output_.get(), bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (got <= 0) {
      output_.reset();
      return;
    }
    const std::size_t room = settings_.output_max - printed_.size();
    cut_ = cut_ || static_cast<std::size_t>(got) > room;
    printed_.append(bytes.data(), std::min(static_cast<std::size_t>(got), room));
    if (static_cast<std::size_t>(got) < bytes.size()) return;
  }
}

void Program::time_out() {
  timed_out_ = true;
  deadline_ = TimePoint::max();
  kill_group();
}

void Program::kill_group() noexcept { ::kill(-pid_, SIGKILL); }

std::string Program::output() const {
  if (!cut_) return printed_;
  return fmt::format("{}\n[output cut at {} bytes]\n", whole_characters(printed_), settings_.output_max);
}

std::string Program::failed(const char* kind, std::string message) const {
  return failure_reply({kind, std::move(message), std::string(tail(printed_))},
                       return_output_ ? output() : "");
}

std::string Program::reply(int wait_status) {
  waited_for_ = true;
  read_output();
  output_.reset();
  if (timed_out_) {
    return failed("timeout", fmt::format("the program took longer than {} s (EXECUTOR_TIMEOUT_SEC)",
                                         seconds(*settings_.timeout)));
  }
  if (WIFSIGNALED(wait_status)) {
    return failed("crashed", fmt::format("the program was killed by {}", signal_name(WTERMSIG(wait_status))));
  }
  if (WEXITSTATUS(wait_status) != 0) {
    return failed("raised", fmt::format("the program exited with status {}", WEXITSTATUS(wait_status)));
  }
  const Result<std::string> result = folder_.read(kResult, settings_.result_max);
  if (!result) return failed("output", "the program's RESULT_FILE: " + result.error().message);
  if (!is_utf8(*result)) return failed("output", "the program's RESULT_FILE is not UTF-8");
  return success_reply(*result, return_output_ ? output() : "");
}

}  // namespace serverledge
