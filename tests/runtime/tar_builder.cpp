#include "tar_builder.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>

namespace serverledge::test {

struct TarBuilder::Writer {
  archive* to = nullptr;
  std::string bytes;
};

TarBuilder::TarBuilder(bool gzip, bool pax) : writer_(new Writer) {
  writer_->to = ::archive_write_new();
  if (gzip) ::archive_write_add_filter_gzip(writer_->to);
  if (pax) {
    ::archive_write_set_format_pax_restricted(writer_->to);
  } else {
    ::archive_write_set_format_gnutar(writer_->to);
  }
  ::archive_write_set_bytes_in_last_block(writer_->to, 1);
  ::archive_write_open(
      writer_->to, writer_, nullptr,
      [](archive*, void* self, const void* data, std::size_t size) {
        static_cast<Writer*>(self)->bytes.append(static_cast<const char*>(data), size);
        return static_cast<la_ssize_t>(size);
      },
      nullptr);
}

TarBuilder::~TarBuilder() {
  ::archive_write_free(writer_->to);
  delete writer_;
}

void TarBuilder::entry(const std::string& path, unsigned type, unsigned mode, std::uint64_t size,
                       const std::string& target, std::time_t modified) {
  archive_entry* header = ::archive_entry_new();
  ::archive_entry_set_pathname(header, path.c_str());
  ::archive_entry_set_filetype(header, type);
  ::archive_entry_set_perm(header, mode);
  ::archive_entry_set_size(header, static_cast<la_int64_t>(size));
  ::archive_entry_set_mtime(header, modified, 0);
  if (type == S_IFLNK) ::archive_entry_set_symlink(header, target.c_str());
  if (type == S_IFREG && !target.empty()) ::archive_entry_set_hardlink(header, target.c_str());
  ::archive_write_header(writer_->to, header);
  ::archive_entry_free(header);
}

TarBuilder& TarBuilder::file(const std::string& path, std::string_view content, unsigned mode,
                             std::time_t modified) {
  entry(path, S_IFREG, mode, content.size(), "", modified);
  ::archive_write_data(writer_->to, content.data(), content.size());
  return *this;
}

TarBuilder& TarBuilder::folder(const std::string& path) {
  entry(path, S_IFDIR, 0700, 0, "", 0);
  return *this;
}

TarBuilder& TarBuilder::symlink(const std::string& path, const std::string& target) {
  entry(path, S_IFLNK, 0777, 0, target, 0);
  return *this;
}

TarBuilder& TarBuilder::hard_link(const std::string& path, const std::string& target) {
  entry(path, S_IFREG, 0644, 0, target, 0);
  return *this;
}

TarBuilder& TarBuilder::special(const std::string& path, unsigned type) {
  entry(path, type, 0666, 0, "", 0);
  return *this;
}

TarBuilder& TarBuilder::zeros(const std::string& path, std::uint64_t size) {
  static const std::array<char, 65536> kZeros{};
  entry(path, S_IFREG, 0644, size, "", 0);
  while (size > 0) {
    const std::uint64_t piece = std::min<std::uint64_t>(size, kZeros.size());
    ::archive_write_data(writer_->to, kZeros.data(), piece);
    size -= piece;
  }
  return *this;
}

std::string TarBuilder::bytes() {
  ::archive_write_close(writer_->to);
  return writer_->bytes;
}

std::string tar_of(const std::string& path, std::string_view content) {
  return TarBuilder().file(path, content).bytes();
}

}  // namespace serverledge::test
