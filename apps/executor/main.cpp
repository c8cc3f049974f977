#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>

#include "executor.hpp"
#include "settings.hpp"

using namespace serverledge;

namespace {

constexpr std::string_view kUsage =
    "Usage: serverledge-executor\n\n"
    "The executor of a custom image: answers POST /invoke on port 8080 by running a program for each call, "
    "CUSTOM_CMD or\n"
    "the call's own Command. The program reads its params from the file PARAMS_FILE and writes its result to "
    "RESULT_FILE.\n"
    "Environment: CUSTOM_CMD, CONTEXT, EXECUTOR_PORT, EXECUTOR_TIMEOUT_SEC, EXECUTOR_BODY_LIMIT, "
    "EXECUTOR_OUTPUT_LIMIT,\n"
    "EXECUTOR_RESULT_LIMIT, TMPDIR; see docs/images.md.\n";

// A pipe must not become one of the standard descriptors because somebody has closed them.
void hold_standard_descriptors() {
  int fd = 0;
  do {
    fd = ::open("/dev/null", O_RDWR);  // NOLINT: the first three are to be inherited
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO) ::close(fd);
}

int fail(const Error& error) {
  std::fprintf(stderr, "serverledge-executor: %s\n", error.message.c_str());
  return 1;
}

int serve() {
  Result<ExecutorSettings> settings = read_settings([](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  });
  if (!settings) return fail(settings.error());
  Result<std::unique_ptr<Executor>> executor = Executor::open(std::move(*settings), system_clock());
  if (!executor) return fail(executor.error());
  std::fprintf(stderr, "listening on port %d\n", (*executor)->port());
  (*executor)->run();
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count > 1) {
    const std::string_view first = arguments[1];
    const bool help = first == "--help" || first == "-h";
    std::fwrite(kUsage.data(), 1, kUsage.size(), help ? stdout : stderr);
    return help ? 0 : 2;
  }
  hold_standard_descriptors();
  try {
    return serve();
  } catch (const std::exception& error) {
    return fail({ErrorCode::kInternal, error.what(), {}});
  }
}
