#include "serverledge/runtime/code_archive.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "net/file_descriptor.hpp"
#include "runtime/code_reader.hpp"
#include "runtime/folder_writer.hpp"
#include "runtime/handler_module.hpp"

namespace serverledge {
namespace {

constexpr const char* kTemporary = ".tmp-";
// Far beyond what any code within the limits takes: a wait for another thread's unpacking ends here.
constexpr Duration kUnpackPatience = std::chrono::minutes(5);

Unexpected unusable(const std::string& folder, int error) {
  const bool full = error == ENOSPC || error == EDQUOT;
  return {full ? ErrorCode::kDiskFull : ErrorCode::kUnavailable,
          fmt::format("cannot keep code in {}: {}", folder, std::strerror(error))};
}

// A folder that is being filled; gone with the object unless it was put in its place.
class TemporaryCode {
 public:
  static Result<TemporaryCode> make(const std::string& parent) {
    std::string name = parent + '/' + kTemporary + "XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) return unusable(parent, errno);
    return TemporaryCode(std::move(name));
  }
  TemporaryCode(TemporaryCode&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryCode& operator=(TemporaryCode&&) = delete;
  ~TemporaryCode() {
    if (!path_.empty()) remove_folder(path_);
  }
  const std::string& path() const { return path_; }
  /// Puts the folder in its place for good.
  Result<void> move_to(const std::string& parent, const std::string& name) {
    const std::string target = parent + '/' + name;
    if (::chmod(path_.c_str(), 0755) != 0) return unusable(parent, errno);
    if (::rename(path_.c_str(), target.c_str()) != 0) return unusable(parent, errno);
    path_.clear();
    const FileDescriptor above(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!above.valid() || ::fsync(above.get()) != 0) return unusable(parent, errno);
    return {};
  }

 private:
  explicit TemporaryCode(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

class FolderCodeArchive final : public CodeArchive {
 public:
  FolderCodeArchive(CodeArchiveOptions options, Clock& clock)
      : options_(std::move(options)), clock_(clock), opened_(clock.now()) {}

  Result<void> open();
  Result<Checked> check(const Function& function, std::string_view bytes) override;
  Result<std::string> unpack(const Function& function, std::string_view bytes) override;
  std::optional<std::string> folder(std::string_view name) const override;
  void collect(const std::vector<std::string>& keep) override;

 private:
  std::string path(std::string_view name) const { return fmt::format("{}/{}", options_.folder, name); }
  CodeLimits limits() const { return {options_.packed_max, options_.unpacked_max, options_.entries_max}; }
  Result<void> write(const Function& function, const CodeReader& code) const;
  bool retire(const std::string& name, const std::string& as);

  CodeArchiveOptions options_;
  Clock& clock_;
  TimePoint opened_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // By the folder's name.
  std::set<std::string> busy_;                     // that a thread unpacks
  mutable std::map<std::string, TimePoint> used_;  // when it was last asked for
};

Result<void> FolderCodeArchive::open() {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(options_.folder).parent_path(), error);
  // Others on this machine have no business with the code; an instance gets its folder by a mount.
  if (::mkdir(options_.folder.c_str(), 0700) != 0 && errno != EEXIST) return unusable(options_.folder, errno);
  std::filesystem::directory_iterator entries(options_.folder, error);
  if (error) return unusable(options_.folder, error.value());
  for (const auto& entry : entries) {
    if (entry.path().filename().string().starts_with(kTemporary)) remove_folder(entry.path());
  }
  return {};
}

Result<CodeArchive::Checked> FolderCodeArchive::check(const Function& function, std::string_view bytes) {
  const Result<CodeReader> code = CodeReader::open(function, bytes, limits());
  if (!code) return Unexpected(code.error());
  const Result<std::uint64_t> unpacked = code->read(function, nullptr);
  if (!unpacked) return Unexpected(unpacked.error());
  return Checked{code->digest(), bytes.size(), *unpacked};
}

Result<std::string> FolderCodeArchive::unpack(const Function& function, std::string_view bytes) {
  const Result<CodeReader> code = CodeReader::open(function, bytes, limits());
  if (!code) return Unexpected(code.error());
  const std::string name = code->digest();
  {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kUnpackPatience, [&] { return !busy_.contains(name); })) {
      return Unexpected(ErrorCode::kDeadline, "another thread takes too long to unpack this code");
    }
    busy_.insert(name);
  }
  Result<void> written;
  if (!folder(name)) written = write(function, *code);
  {
    const std::scoped_lock lock(mutex_);
    busy_.erase(name);
    used_[name] = clock_.now();
  }
  changed_.notify_all();
  if (!written) return Unexpected(std::move(written).error());
  return path(name);
}

Result<void> FolderCodeArchive::write(const Function& function, const CodeReader& code) const {
  Result<TemporaryCode> temporary = TemporaryCode::make(options_.folder);
  if (!temporary) return Unexpected(temporary.error());
  Result<FolderWriter> writer = FolderWriter::open(temporary->path());
  if (!writer) return Unexpected(writer.error());
  if (const Result<std::uint64_t> read = code.read(function, &*writer); !read)
    return Unexpected(read.error());
  // After a loss of power a folder with this name must hold what it says.
  if (Result<void> flushed = writer->flush(); !flushed) return flushed;
  return temporary->move_to(options_.folder, code.digest());
}

std::optional<std::string> FolderCodeArchive::folder(std::string_view name) const {
  if (sha256_of(name).empty()) return std::nullopt;
  const std::scoped_lock lock(mutex_);  // `collect` must not take it away between the look and the note
  std::string found = path(name);
  struct stat status {};
  if (::stat(found.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return std::nullopt;
  used_[std::string(name)] = clock_.now();
  return found;
}

bool FolderCodeArchive::retire(const std::string& name, const std::string& as) {
  const std::scoped_lock lock(mutex_);
  const auto last = used_.find(name);
  const TimePoint since = last == used_.end() ? opened_ : last->second;
  if (busy_.contains(name) || later(since, options_.unused_for) > clock_.now()) return false;
  if (::rename(path(name).c_str(), as.c_str()) != 0) return false;
  used_.erase(name);
  return true;
}

void FolderCodeArchive::collect(const std::vector<std::string>& keep) {
  std::error_code error;
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(options_.folder, error)) {
    if (std::string name = entry.path().filename().string(); !sha256_of(name).empty())
      found.push_back(std::move(name));
  }
  for (const std::string& name : found) {
    if (std::find(keep.begin(), keep.end(), sha256_of(name)) != keep.end()) continue;
    const std::string gone = path(fmt::format("{}gone-{}", kTemporary, name));
    if (retire(name, gone)) remove_folder(gone);
  }
}

}  // namespace

std::optional<std::string> unpacked_code(const CodeArchive& archive, const Function& function) {
  if (std::optional<std::string> found = archive.folder(function.code_digest)) return found;
  const Result<std::string> file = module_file(function);
  return file ? archive.folder(code_name(function.code_digest, *file)) : std::nullopt;
}

Result<std::unique_ptr<CodeArchive>> make_code_archive(CodeArchiveOptions options, Clock& clock) {
  auto archive = std::make_unique<FolderCodeArchive>(std::move(options), clock);
  if (Result<void> opened = archive->open(); !opened) return Unexpected(std::move(opened).error());
  return std::unique_ptr<CodeArchive>(std::move(archive));
}

}  // namespace serverledge
