#include "runtime/sandbox/interpreter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>

namespace serverledge {
namespace {

namespace fs = std::filesystem;

bool is_within(const fs::path& path, const fs::path& folder) {
  return std::mismatch(path.begin(), path.end(), folder.begin(), folder.end()).second == folder.end();
}

/// The system's own, which every sandbox is shown.
bool is_shown(const fs::path& program) {
  constexpr std::array kShown{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
  return std::any_of(kShown.begin(), kShown.end(), [&](const char* at) { return is_within(program, at); });
}

/// Why sandboxes cannot be shown the folder; nullopt if they can.
std::optional<std::string> obstacle(const fs::path& folder, const std::vector<std::string>& hidden) {
  constexpr std::array kTheirOwn{"/tmp", "/var/tmp", "/dev", "/proc", "/app", "/runtime", "/.world"};
  if (folder == "/") return "sandboxes see no such folder";
  if (folder == "/etc") return "sandboxes have an /etc of their own";
  for (const char* own : kTheirOwn) {
    if (is_within(folder, own)) return fmt::format("sandboxes have {} of their own", own);
  }
  for (const std::string& path : hidden) {
    if (!path.empty() && is_within(path, folder))
      return fmt::format("sandboxes would have to see all of {}, with {}", folder.string(), path);
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<std::string>> interpreter_folders(const std::string& program,
                                                     const std::vector<std::string>& hidden) {
  std::vector<std::string> folders;
  std::error_code error;
  const fs::path real = fs::canonical(program, error);
  if (program.empty() || error) return folders;
  for (const fs::path& path : {fs::path(program).lexically_normal(), real}) {
    if (is_shown(path)) continue;
    const fs::path folder = path.parent_path().parent_path();
    if (const std::optional<std::string> why = obstacle(folder, hidden)) {
      return Unexpected(ErrorCode::kInvalid,
                        fmt::format("{} cannot be shown to sandboxes: {}; an interpreter below /usr, or in a "
                                    "folder of its own, can",
                                    path.string(), *why));
    }
    if (std::find(folders.begin(), folders.end(), folder.string()) == folders.end())
      folders.push_back(folder.string());
  }
  return folders;
}

}  // namespace serverledge
