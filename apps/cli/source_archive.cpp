#include "source_archive.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <locale.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>
#include <vector>

#include "serverledge/core/json.hpp"

namespace serverledge::cli {
namespace {

namespace fs = std::filesystem;

Unexpected wrong(const fs::path& path, std::string_view what) {
  return Unexpected(ErrorCode::kInvalid, fmt::format("{}: {}", path.string(), what));
}

Unexpected wrong(const fs::path& path, int error) { return wrong(path, std::strerror(error)); }

// File names are UTF-8 for libarchive, whatever the process's locale, while one of these lives.
class Utf8Locale {
 public:
  Utf8Locale() : locale_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)), before_(uselocale(locale_)) {}
  ~Utf8Locale() {
    uselocale(before_);
    if (locale_ != nullptr) freelocale(locale_);
  }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  locale_t locale_;
  locale_t before_;
};

// Writes a tar into memory: plain ustar, with extensions only for entries that it cannot express.
class TarWriter {
 public:
  TarWriter() : archive_(archive_write_new(), archive_write_free) {
    archive_write_set_format_pax_restricted(archive_.get());
    archive_write_set_bytes_in_last_block(archive_.get(), 1);  // no padding to a tape's block
    archive_write_open(archive_.get(), &tar_, nullptr, append, nullptr);
  }

  /// Adds what is at `path` under `name`: a file, a directory (without its contents) or a symbolic link.
  Result<void> add(const fs::path& path, const std::string& name);
  Result<std::string> finish();

 private:
  static la_ssize_t append(archive* /*archive*/, void* tar, const void* bytes, size_t size) {
    static_cast<std::string*>(tar)->append(static_cast<const char*>(bytes), size);
    return static_cast<la_ssize_t>(size);
  }
  Result<void> add_content(const fs::path& path, std::uint64_t size);
  const char* failure() const {
    const char* text = archive_error_string(archive_.get());
    return text != nullptr ? text : "cannot be archived";
  }

  std::string tar_;
  std::unique_ptr<archive, decltype(&archive_write_free)> archive_;
};

Result<void> TarWriter::add(const fs::path& path, const std::string& name) {
  if (!is_utf8(name)) return wrong(to_utf8(path.string()), "its name is not UTF-8");
  struct stat status = {};
  if (lstat(path.c_str(), &status) != 0) return wrong(path, errno);
  const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(),
                                                                            archive_entry_free);
  archive_entry_set_pathname(entry.get(), name.c_str());
  archive_entry_set_mode(entry.get(), status.st_mode & (S_IFMT | 0777U));  // who owns it does not matter
  archive_entry_set_mtime(entry.get(), status.st_mtime, 0);
  if (S_ISLNK(status.st_mode)) {
    std::error_code error;
    const fs::path target = fs::read_symlink(path, error);
    if (error) return wrong(path, error.value());
    archive_entry_set_symlink(entry.get(), target.c_str());
  } else if (S_ISREG(status.st_mode)) {
    archive_entry_set_size(entry.get(), status.st_size);
  } else if (!S_ISDIR(status.st_mode)) {
    return wrong(path, "neither a file nor a directory nor a symbolic link");
  }
  if (archive_write_header(archive_.get(), entry.get()) != ARCHIVE_OK) return wrong(path, failure());
  return S_ISREG(status.st_mode) ? add_content(path, static_cast<std::uint64_t>(status.st_size))
                                 : Result<void>();
}

Result<void> TarWriter::add_content(const fs::path& path, std::uint64_t size) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return wrong(path, errno);
  std::array<char, 64 * 1024> buffer;
  std::uint64_t written = 0;
  while (written < size) {
    const auto wanted = std::min<std::uint64_t>(size - written, buffer.size());
    file.read(buffer.data(), static_cast<std::streamsize>(wanted));
    if (file.gcount() == 0) return wrong(path, "became shorter while it was read");
    const auto count = archive_write_data(archive_.get(), buffer.data(), static_cast<size_t>(file.gcount()));
    if (count != file.gcount()) return wrong(path, failure());
    written += static_cast<std::uint64_t>(count);
  }
  return {};
}

Result<std::string> TarWriter::finish() {
  if (archive_write_close(archive_.get()) != ARCHIVE_OK) return Unexpected(ErrorCode::kInvalid, failure());
  return std::move(tar_);
}

// Everything below `root`, in the order of the names, so that the same tree always gives the same archive.
Result<std::vector<fs::path>> contents(const fs::path& root) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::recursive_directory_iterator at(root, error), end; !error && at != end; at.increment(error)) {
    paths.push_back(at->path());
  }
  if (error) return wrong(root, error.message());
  std::sort(paths.begin(), paths.end());
  return paths;
}

Result<std::string> pack_directory(const fs::path& root) {
  const auto paths = contents(root);
  if (!paths) return Unexpected(paths.error());
  if (paths->empty()) return wrong(root, "the directory is empty");
  TarWriter tar;
  for (const auto& path : *paths) {
    if (auto added = tar.add(path, path.lexically_relative(root).string()); !added)
      return Unexpected(added.error());
  }
  return tar.finish();
}

Result<std::string> pack_file(const fs::path& path) {
  std::error_code error;
  const fs::path file =
      fs::canonical(path, error);  // what a link given by name leads to, under the link's name
  if (error) return wrong(path, error.message());
  TarWriter tar;
  if (auto added = tar.add(file, path.filename().string()); !added) return Unexpected(added.error());
  return tar.finish();
}

Result<std::string> read_archive(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(file), {});
  if (!file.is_open() || file.bad()) return wrong(path, errno);
  if (bytes.empty()) return wrong(path, "the archive is empty");
  return bytes;
}

}  // namespace

Result<std::string> read_source(const std::string& source) {
  if (source.starts_with("http://") || source.starts_with("https://")) return source;
  const Utf8Locale locale;
  const fs::path path(source);
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::none || status.type() == fs::file_type::not_found) {
    return wrong(path, error ? error.message() : std::strerror(ENOENT));
  }
  if (fs::is_directory(status)) return pack_directory(path);
  if (!fs::is_regular_file(status)) return wrong(path, "neither a file nor a directory");
  const bool archive = source.ends_with(".tar") || source.ends_with(".tar.gz") || source.ends_with(".tgz");
  return archive ? read_archive(path) : pack_file(path);
}

}  // namespace serverledge::cli
