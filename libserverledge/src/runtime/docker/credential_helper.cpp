#include "runtime/docker/credential_helper.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "net/file_descriptor.hpp"
#include "net/socket.hpp"
#include "runtime/docker/engine_client.hpp"
#include "runtime/spawn_settings.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

constexpr std::size_t kOutputMax = std::size_t{64} << 10U;
constexpr std::size_t kToldMax = 200;  // of what a helper says of its failure
constexpr int kAboveAllTargets = 64;
constexpr const char* kTokenUser = "<token>";

Unexpected system_failure(const char* what) {
  return Unexpected(ErrorCode::kUnavailable, fmt::format("{}: {}", what, std::strerror(errno)));
}

/// A file without a name that holds a text, to be read from its beginning: a pipe would have to be written to
/// while the program may be ending, which raises SIGPIPE in this process.
Result<FileDescriptor> file_of(const std::string& text) {
  FileDescriptor file(::memfd_create("server", MFD_CLOEXEC));
  if (!file.valid() || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::lseek(file.get(), 0, SEEK_SET) != 0) {
    return system_failure("no file for its input");
  }
  return file;
}

/// A helper that runs. It does not outlive this.
class Helper {
 public:
  static Result<Helper> start(const std::string& program, const std::string& input);
  Helper(Helper&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)),
        process_(std::move(other.process_)),
        output_(std::move(other.output_)) {}
  Helper& operator=(Helper&&) = delete;
  ~Helper() {
    if (pid_ > 0) end();
  }

  /// All that it writes until it ends.
  Result<std::string> read(TimePoint deadline, Clock& clock) const;
  /// Whether it succeeded, as far as this process is told: where a host ignores SIGCHLD nobody is. After
  /// `read`.
  bool succeeded() { return end() == 0; }

 private:
  Helper(pid_t pid, FileDescriptor process, FileDescriptor output)
      : pid_(pid), process_(std::move(process)), output_(std::move(output)) {}
  bool running() const {
    pollfd state{process_.get(), POLLIN, 0};
    return ::poll(&state, 1, 0) == 0;
  }
  /// Reaps it; its wait status.
  int end() {
    if (running()) ::kill(-pid_, SIGKILL);  // the group is its own, and that of what it has started
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

  pid_t pid_;
  FileDescriptor process_;
  FileDescriptor output_;
};

Result<Helper> Helper::start(const std::string& program, const std::string& input) {
  Result<FileDescriptor> file = file_of(input);
  if (!file) return Unexpected(std::move(file).error());
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return system_failure("no pipe for its output");
  FileDescriptor output(ends[0]);
  const FileDescriptor written(ends[1]);
  // Out of the way of the standard streams, one of which a host may have closed.
  const FileDescriptor high_input(::fcntl(file->get(), F_DUPFD_CLOEXEC, kAboveAllTargets));
  const FileDescriptor high_output(::fcntl(written.get(), F_DUPFD_CLOEXEC, kAboveAllTargets));
  ::fcntl(high_output.get(), F_SETFL, O_WRONLY);  // its end of the pipe waits for ours
  SpawnSettings settings;
  settings.give(high_input.get(), STDIN_FILENO);
  settings.give(high_output.get(), STDOUT_FILENO);
  settings.close_from(STDERR_FILENO + 1);
  std::string word = program;
  std::string verb = "get";
  std::array<char*, 3> argv{word.data(), verb.data(), nullptr};
  pid_t pid = -1;
  const int error =
      ::posix_spawnp(&pid, program.c_str(), settings.actions(), settings.attributes(), argv.data(), environ);
  if (error != 0) return Unexpected(ErrorCode::kUnavailable, std::strerror(error));
  Helper helper(pid, FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))), std::move(output));
  if (!helper.process_.valid()) return system_failure("it cannot be watched");
  return helper;
}

Result<std::string> Helper::read(TimePoint deadline, Clock& clock) const {
  std::string text;
  std::array<char, 4096> bytes{};
  // What it leaves running may keep the pipe open: its own end counts, too.
  std::array<pollfd, 2> waits{pollfd{output_.get(), POLLIN, 0}, pollfd{process_.get(), POLLIN, 0}};
  while (true) {
    const TimePoint now = clock.now();
    if (now >= deadline) return Unexpected(ErrorCode::kDeadline, "it does not answer in time");
    const int ready = ::poll(waits.data(), waits.size(), poll_milliseconds(deadline, now));
    if (ready < 0 && errno != EINTR) return system_failure("it cannot be waited for");
    if (ready <= 0) continue;
    const bool ended = waits[1].revents != 0;
    const ssize_t got = ::read(output_.get(), bytes.data(), bytes.size());
    if (got > 0) text.append(bytes.data(), static_cast<std::size_t>(got));
    if (text.size() > kOutputMax) return Unexpected(ErrorCode::kUnavailable, "it says too much");
    if (got <= 0 && ended) return text;
    if (got == 0) waits[0].fd = -1;  // it has closed its output, and goes on
  }
}

bool is_program_name(std::string_view name) {
  return !name.empty() && name.size() <= 100 && name.find_first_of(std::string_view("/\0", 2)) == name.npos;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

Result<std::optional<RegistryCredentials>> ask_credential_helper(const std::string& name,
                                                                 const std::string& server,
                                                                 TimePoint deadline, Clock& clock) {
  if (!is_program_name(name))
    return Unexpected(ErrorCode::kInvalid, "the name of a credential helper is odd");
  const std::string program = "docker-credential-" + name;
  const auto failed = [&](const Error& error) {
    return Unexpected(error.code, fmt::format("{}: {}", program, error.message));
  };
  Result<Helper> helper = Helper::start(program, server);
  if (!helper) return failed(helper.error());
  const Result<std::string> said = helper->read(deadline, clock);
  if (!said) return failed(said.error());
  if (!helper->succeeded()) {
    if (said->find("credentials not found") != std::string::npos) return std::optional<RegistryCredentials>();
    return failed({ErrorCode::kUnavailable, "it failed: " + to_utf8(trimmed(*said).substr(0, kToldMax)), {}});
  }
  const Result<JsonDocument> document = JsonDocument::parse(*said);
  if (!document || !document->root().is_object())
    return failed({ErrorCode::kUnavailable, "what it says is no JSON object", {}});
  RegistryCredentials found{
      text_member(document->root(), "Username"), text_member(document->root(), "Secret"), {}};
  if (found.user == kTokenUser) found = {{}, {}, std::move(found.password)};
  if (found.user.empty() && found.token.empty()) return std::optional<RegistryCredentials>();
  return std::optional(std::move(found));
}

}  // namespace serverledge
