#include "runtime/docker/folder_tar.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>

namespace serverledge {
namespace {

namespace fs = std::filesystem;

struct FreeArchive {
  void operator()(archive* writer) const { ::archive_write_free(writer); }
};
struct FreeEntry {
  void operator()(archive_entry* entry) const { ::archive_entry_free(entry); }
};

la_ssize_t append(archive* /*writer*/, void* to, const void* bytes, std::size_t size) {
  static_cast<std::string*>(to)->append(static_cast<const char*>(bytes), size);
  return static_cast<la_ssize_t>(size);
}

class TarWriter {
 public:
  explicit TarWriter(TarOwner owner) : owner_(owner), archive_(::archive_write_new()) {
    // Names are taken as the bytes that they are.
    ::archive_write_set_format_gnutar(archive_.get());
    ::archive_write_open(archive_.get(), &text_, nullptr, append, nullptr);
  }

  Result<void> add(const fs::path& path, const std::string& name) {
    std::error_code error;
    const fs::file_status status = fs::symlink_status(path, error);
    const std::unique_ptr<archive_entry, FreeEntry> entry(::archive_entry_new());
    ::archive_entry_set_pathname(entry.get(), name.c_str());
    ::archive_entry_set_uid(entry.get(), owner_.uid);
    ::archive_entry_set_gid(entry.get(), owner_.gid);
    ::archive_entry_set_mtime(entry.get(), 0, 0);
    ::archive_entry_set_perm(entry.get(), static_cast<unsigned>(status.permissions()) & 0777U);
    ::archive_entry_set_size(entry.get(), 0);
    if (fs::is_symlink(status)) {
      ::archive_entry_set_filetype(entry.get(), AE_IFLNK);
      ::archive_entry_set_symlink(entry.get(), fs::read_symlink(path, error).c_str());
    } else if (fs::is_directory(status)) {
      ::archive_entry_set_filetype(entry.get(), AE_IFDIR);
    } else {
      return add_file(path, entry.get());
    }
    return error ? unreadable(path) : write_head(entry.get());
  }

  Result<std::string> finish() {
    if (::archive_write_close(archive_.get()) != ARCHIVE_OK) return failed();
    return std::move(text_);
  }

 private:
  Result<void> add_file(const fs::path& path, archive_entry* entry) {
    std::ifstream file(path, std::ios::binary);
    std::error_code error;
    const std::uintmax_t size = fs::file_size(path, error);
    if (!file || error) return unreadable(path);
    ::archive_entry_set_filetype(entry, AE_IFREG);
    ::archive_entry_set_size(entry, static_cast<la_int64_t>(size));
    if (Result<void> head = write_head(entry); !head) return head;
    std::array<char, 65536> buffer{};
    while (file.read(buffer.data(), buffer.size()), file.gcount() > 0) {
      const auto got = static_cast<std::size_t>(file.gcount());
      if (::archive_write_data(archive_.get(), buffer.data(), got) < 0) return failed();
    }
    return {};
  }
  Result<void> write_head(archive_entry* entry) {
    if (::archive_write_header(archive_.get(), entry) < ARCHIVE_WARN) return failed();
    return {};
  }
  Unexpected failed() const {
    const char* why = ::archive_error_string(archive_.get());
    return {ErrorCode::kInternal, fmt::format("cannot pack code: {}", why == nullptr ? "" : why)};
  }
  static Unexpected unreadable(const fs::path& path) {
    return {ErrorCode::kUnavailable, fmt::format("cannot read {}", path.string())};
  }

  const TarOwner owner_;
  std::string text_;
  std::unique_ptr<archive, FreeArchive> archive_;
};

}  // namespace

Result<std::string> tar_of_folder(const std::string& folder, TarOwner owner) {
  TarWriter tar(owner);
  if (Result<void> added = tar.add(folder, "./"); !added) return Unexpected(added.error());
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().string().substr(folder.size() + 1);
    if (Result<void> added = tar.add(at->path(), name); !added) return Unexpected(added.error());
  }
  if (error)
    return Unexpected(ErrorCode::kUnavailable, fmt::format("cannot read {}: {}", folder, error.message()));
  return tar.finish();
}

}  // namespace serverledge
