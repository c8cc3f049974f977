#include "serverledge/runtime/node_lock.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

#include "runtime/lock_file.hpp"
#include "serverledge/core/clock.hpp"

namespace serverledge {
namespace {

constexpr std::size_t kIdSize = 16;
constexpr std::string_view kLockEnding = ".lock";
constexpr auto kLauncherPatience =
    std::chrono::seconds(5);  // with a dying launcher of the node's earlier life
constexpr auto kPause = std::chrono::milliseconds(10);

bool is_id(std::string_view text) {
  return text.size() == kIdSize && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Unexpected cannot(const char* what, const std::string& path) {
  return Unexpected(ErrorCode::kUnavailable,
                    fmt::format("cannot {} {}: {}", what, path, std::strerror(errno)));
}

/// A folder that is there, ours and not for others to write to.
Result<void> own_folder(const std::string& path, mode_t mode) {
  struct stat info {};
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) return cannot("make the folder", path);
  if (::lstat(path.c_str(), &info) != 0) return cannot("look at the folder", path);
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Unexpected(
        ErrorCode::kUnavailable,
        fmt::format("{} must be a folder that belongs to the node's user and that no one else can "
                    "write to",
                    path));
  }
  return {};
}

std::string read_id(const std::string& path) {
  char text[kIdSize];
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid() || ::read(file.get(), text, sizeof(text)) != static_cast<ssize_t>(sizeof(text)))
    return {};
  const std::string id(text, sizeof(text));
  return is_id(id) ? id : std::string();
}

/// The id kept in the store, or a new one that is. Of two that begin at once one wins by the link.
Result<std::string> kept_id(const std::string& store_path) {
  std::error_code error;
  std::filesystem::create_directories(store_path, error);
  if (error) {
    return Unexpected(ErrorCode::kUnavailable,
                      fmt::format("cannot make {}: {}", store_path, error.message()));
  }
  const std::string path = store_path + "/node-id";
  if (std::string id = read_id(path); !id.empty()) return id;
  const std::string fresh = fmt::format("{:016x}", entropy());
  const std::string draft = path + '.' + fresh;
  FileDescriptor file(::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file.valid()) return cannot("write", draft);
  const std::string text = fresh + '\n';
  const bool written = ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fsync(file.get()) == 0;
  // In this order: what another node places between the two is whole.
  const bool broken = written && ::access(path.c_str(), F_OK) == 0 && read_id(path).empty();
  const bool placed = written && (broken ? ::rename(draft.c_str(), path.c_str()) == 0
                                         : ::link(draft.c_str(), path.c_str()) == 0 || errno == EEXIST);
  const int saved = errno;
  ::unlink(draft.c_str());
  errno = saved;
  if (!placed) return cannot("write", path);
  std::string id = read_id(path);
  if (id.empty()) return Unexpected(ErrorCode::kUnavailable, fmt::format("{} is not readable", path));
  return id;
}

}  // namespace

struct NodeLock::State {
  std::string id, run_root, folder;
  LockFile lock;
  ~State() {
    std::error_code ignored;
    if (lock.fd() >= 0) std::filesystem::remove_all(folder, ignored);
  }
};

NodeLock::NodeLock(std::unique_ptr<State> state) : state_(std::move(state)) {}
NodeLock::NodeLock(NodeLock&&) noexcept = default;
NodeLock& NodeLock::operator=(NodeLock&&) noexcept = default;
NodeLock::~NodeLock() = default;

const std::string& NodeLock::id() const { return state_->id; }
const std::string& NodeLock::folder() const { return state_->folder; }
const std::string& NodeLock::run_root() const { return state_->run_root; }
int NodeLock::fd() const { return state_->lock.fd(); }

std::string NodeLock::default_run_root() {
  if (::geteuid() == 0) return "/run/serverledge";
  const char* folder = std::getenv("XDG_RUNTIME_DIR");  // NOLINT(concurrency-mt-unsafe)
  if (folder != nullptr && *folder == '/') return std::string(folder) + "/serverledge";
  return fmt::format("/tmp/serverledge-{}", ::geteuid());
}

Result<NodeLock> NodeLock::acquire(const std::string& store_path, const std::string& run_root) {
  if (Result<void> made = own_folder(run_root, 0755); !made) return Unexpected(made.error());
  Result<std::string> id = store_path.empty() ? fmt::format("{:016x}", entropy()) : kept_id(store_path);
  if (!id) return Unexpected(id.error());
  auto state = std::make_unique<State>();
  state->id = *id;
  state->run_root = run_root;
  state->folder = run_root + '/' + *id;
  const TimePoint deadline = system_clock().now() + kLauncherPatience;
  for (;;) {
    Result<std::optional<LockFile>> lock = LockFile::try_lock(state->folder + std::string(kLockEnding));
    if (!lock) return Unexpected(lock.error());
    if (lock->has_value()) {
      state->lock = std::move(**lock);
      break;
    }
    if (system_clock().now() >= deadline) {
      return Unexpected(ErrorCode::kExists,
                        fmt::format("another node is running on the store in {} (its lock {}.lock is held)",
                                    store_path, state->folder));
    }
    std::this_thread::sleep_for(kPause);
  }
  std::error_code ignored;
  std::filesystem::remove_all(state->folder, ignored);  // of an earlier life
  if (Result<void> made = own_folder(state->folder, 0700); !made) return Unexpected(made.error());
  return NodeLock(std::move(state));
}

std::vector<NodeLock> NodeLock::claim_dead() const {
  std::vector<NodeLock> dead;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(state_->run_root, error)) {
    const std::string name = entry.path().filename().string();
    if (name.size() != kIdSize + kLockEnding.size() || !name.ends_with(kLockEnding)) continue;
    const std::string id = name.substr(0, kIdSize);
    if (!is_id(id) || id == state_->id) continue;
    Result<std::optional<LockFile>> lock = LockFile::try_lock(entry.path().string());
    if (!lock || !lock->has_value()) continue;
    auto state = std::make_unique<State>();
    state->id = id;
    state->run_root = state_->run_root;
    state->folder = state_->run_root + '/' + id;
    state->lock = std::move(**lock);
    dead.push_back(NodeLock(std::move(state)));
  }
  return dead;
}

}  // namespace serverledge
