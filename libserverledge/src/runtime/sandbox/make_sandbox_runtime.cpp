#include <dlfcn.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "runtime/sandbox/interpreter.hpp"
#include "runtime/sandbox/sandbox_runtime.hpp"

namespace serverledge {
namespace {

namespace fs = std::filesystem;

/// Whether this process may do what setting up sandboxes takes without a user namespace.
bool is_privileged() {
  constexpr unsigned kNeeded[] = {CAP_SYS_ADMIN,  CAP_SETUID, CAP_SETGID,       CAP_SETPCAP,
                                  CAP_SYS_CHROOT, CAP_KILL,   CAP_DAC_OVERRIDE, CAP_NET_ADMIN};
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return false;
  return std::all_of(std::begin(kNeeded), std::end(kNeeded),
                     [&](unsigned c) { return (data[c / 32].effective >> (c % 32) & 1U) != 0; });
}

/// libexec/serverledge in the nearest folder above the program, or the shared object, that holds this code:
/// ../libexec for bin/ and lib/, further up for lib/<architecture>/ and a module of a language.
std::string default_libexec() {
  std::error_code error;
  Dl_info info{};
  fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (::dladdr(reinterpret_cast<const void*>(&make_sandbox_runtime), &info) != 0 &&
      info.dli_fname != nullptr && std::string_view(info.dli_fname).find(".so") != std::string_view::npos) {
    self = fs::canonical(info.dli_fname, error);
  }
  const fs::path beside = self.parent_path().parent_path() / "libexec" / "serverledge";
  fs::path prefix = self.parent_path().parent_path();
  for (int level = 0; level < 4 && prefix.has_relative_path(); ++level, prefix = prefix.parent_path()) {
    const fs::path found = prefix / "libexec" / "serverledge";
    if (fs::exists(found / "serverledge-launcher", error)) return found.string();
  }
  return beside.string();
}

/// What sandboxes must never see, whatever holds it.
std::vector<std::string> hidden_folders(const SandboxOptions& options, const NodeLock& lock) {
  const char* home = std::getenv("HOME");
  return {options.code, lock.run_root(), home == nullptr ? "" : home};
}

/// What dead nodes of this machine left behind, and earlier lives of this one.
void remove_leftovers(const NodeLock& lock, const CgroupTree& tree, Observer& observer) {
  tree.remove_node(lock.id());
  for (const NodeLock& dead : lock.claim_dead()) {
    const bool gone = tree.remove_node(dead.id());
    observer.log(gone ? LogLevel::kInfo : LogLevel::kWarning, "leftovers of a dead node",
                 {{"node", dead.id()}});
  }
}

Result<void> make_folder(const std::string& path, fs::perms mode) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) fs::permissions(path, mode, error);
  if (error)
    return Unexpected(ErrorCode::kUnavailable, fmt::format("cannot make {}: {}", path, error.message()));
  return {};
}

Result<UidBlock> choose_uids(bool privileged, const NodeLock& lock) {
  if (!privileged) return UidBlock::shared();
  return UidBlock::lock(lock.run_root());
}

}  // namespace

Result<std::unique_ptr<ContainerRuntime>> make_sandbox_runtime(const SandboxOptions& options,
                                                               const NodeLock& lock, CodeArchive& archive,
                                                               CodeSource& code, Observer& observer,
                                                               Clock& clock) {
  const bool privileged = is_privileged();
  remove_leftovers(lock, CgroupTree::open(lock.id()), observer);
  Result<UidBlock> uids = choose_uids(privileged, lock);
  if (!uids) return Unexpected(uids.error());

  LauncherOptions launcher;
  launcher.libexec = options.libexec.empty() ? default_libexec() : options.libexec;
  launcher.mount_point = lock.folder() + "/root";
  launcher.code = options.code;
  launcher.python = options.python;
  const std::vector<std::string> hidden = hidden_folders(options, lock);
  for (const std::string& program : {options.python, options.node}) {
    const Result<std::vector<std::string>> folders = interpreter_folders(program, hidden);
    if (folders) launcher.binds.insert(launcher.binds.end(), folders->begin(), folders->end());
  }
  launcher.first_uid = uids->first();
  launcher.uid_count = uids->count();
  launcher.rootless = !privileged;
  launcher.host_network = options.host_network;
  launcher.locks = {lock.fd()};
  if (uids->fd() >= 0) launcher.locks.push_back(uids->fd());
  if (Result<void> made = make_folder(launcher.mount_point, fs::perms::owner_all); !made)
    return Unexpected(made.error());
  constexpr fs::perms kSeenByAll = fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec |
                                   fs::perms::others_read | fs::perms::others_exec;
  if (Result<void> made = make_folder(options.code, kSeenByAll); !made) return Unexpected(made.error());

  auto machine = std::make_shared<Machine>(std::move(launcher), CgroupTree::open(lock.id()), std::move(*uids),
                                           lock.folder());
  auto runtime = std::make_unique<SandboxRuntime>(
      options, machine, SandboxRuntime::Parts{archive, code, observer, clock}, hidden);
  if (Result<void> opened = runtime->open(later(clock.now(), options.start_timeout)); !opened) {
    return Unexpected(opened.error());
  }
  return std::unique_ptr<ContainerRuntime>(std::move(runtime));
}

}  // namespace serverledge
