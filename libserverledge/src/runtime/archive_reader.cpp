#include "runtime/archive_reader.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <utility>

namespace serverledge {
namespace {

// Made once: every other one that is made and freed takes locks of the C library.
locale_t utf8_locale() {
  static const locale_t kUtf8 = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return kUtf8;
}

// libarchive turns names into the multi-byte form of the thread's locale, and in the C locale loses what is
// not ASCII.
class Utf8Locale {
 public:
  Utf8Locale() {
    if (utf8_locale() != nullptr) before_ = ::uselocale(utf8_locale());
  }
  ~Utf8Locale() {
    if (before_ != nullptr) ::uselocale(before_);
  }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  locale_t before_ = nullptr;
};

ArchiveEntry::Kind kind_of(archive_entry* entry) {
  if (archive_entry_hardlink(entry) != nullptr) return ArchiveEntry::Kind::kHardLink;
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      return ArchiveEntry::Kind::kFile;
    case AE_IFDIR:
      return ArchiveEntry::Kind::kFolder;
    case AE_IFLNK:
      return ArchiveEntry::Kind::kSymlink;
    default:
      return ArchiveEntry::Kind::kOther;
  }
}

std::string text_or_empty(const char* text) { return text == nullptr ? std::string() : std::string(text); }

Unexpected damaged(archive* reader) {
  const char* why = ::archive_error_string(reader);
  return {ErrorCode::kInvalid,
          "the archive is damaged: " + (why == nullptr ? std::string("unreadable") : std::string(why))};
}

}  // namespace

void ArchiveReader::Free::operator()(archive* reader) const { ::archive_read_free(reader); }

ArchiveReader::ArchiveReader(std::string_view bytes) : archive_(::archive_read_new()) {
  ::archive_read_support_filter_gzip(archive_.get());
  ::archive_read_support_format_tar(archive_.get());
  ::archive_read_open_memory(archive_.get(), bytes.data(), bytes.size());
}

ArchiveReader::~ArchiveReader() = default;

Result<std::optional<ArchiveEntry>> ArchiveReader::next() {
  const Utf8Locale locale;
  archive_entry* header = nullptr;
  const int status = ::archive_read_next_header(archive_.get(), &header);
  if (status == ARCHIVE_EOF) return std::optional<ArchiveEntry>();
  if (status != ARCHIVE_OK && status != ARCHIVE_WARN) {
    is_archive_ = ::archive_format(archive_.get()) != 0;
    return damaged(archive_.get());
  }
  ArchiveEntry entry;
  entry.kind = kind_of(header);
  const char* path = ::archive_entry_pathname(header);
  if (path == nullptr) return Unexpected(ErrorCode::kInvalid, "the archive holds a name that cannot be read");
  entry.path = path;
  entry.target = text_or_empty(entry.kind == ArchiveEntry::Kind::kHardLink ? ::archive_entry_hardlink(header)
                                                                           : ::archive_entry_symlink(header));
  const std::int64_t size = ::archive_entry_size_is_set(header) != 0 ? ::archive_entry_size(header) : 0;
  if (size < 0) return Unexpected(ErrorCode::kInvalid, "the archive holds a file of a negative size");
  entry.size = static_cast<std::uint64_t>(size);
  entry.executable = (::archive_entry_perm(header) & 0111U) != 0;
  entry.modified = {::archive_entry_mtime(header), ::archive_entry_mtime_nsec(header)};
  return std::optional<ArchiveEntry>(std::move(entry));
}

Result<std::optional<ArchiveBlock>> ArchiveReader::read() {
  const void* bytes = nullptr;
  std::size_t size = 0;
  std::int64_t offset = 0;
  const int status = ::archive_read_data_block(archive_.get(), &bytes, &size, &offset);
  if (status == ARCHIVE_EOF) return std::optional<ArchiveBlock>();
  if ((status != ARCHIVE_OK && status != ARCHIVE_WARN) || offset < 0) return damaged(archive_.get());
  return std::optional<ArchiveBlock>(
      {{static_cast<const char*>(bytes), size}, static_cast<std::uint64_t>(offset)});
}

}  // namespace serverledge
