#include "runtime/code_reader.hpp"

#include <fmt/format.h>

#include <array>
#include <ctime>

#include "runtime/handler_module.hpp"
#include "serverledge/net/sha256.hpp"

namespace serverledge {
namespace {

constexpr double kMegabyte = 1 << 20;
constexpr std::size_t kDigestSize = 64;
constexpr std::size_t kMarkSize = 12;

bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Unexpected refused(std::string why) { return {ErrorCode::kInvalid, "TarFunctionCode: " + std::move(why)}; }

// The same, about the code; errors that name a field already pass.
Unexpected about_code(Error error) {
  if (error.code == ErrorCode::kInvalid && !error.message.starts_with("Handler: ")) {
    error.message.insert(0, "TarFunctionCode: ");
  }
  return Unexpected(std::move(error));
}

// What the bytes are, if they are a kind of archive that people send and we do not read.
const char* foreign_archive(std::string_view bytes) {
  struct Magic {
    std::string_view begin;
    const char* name;
  };
  static constexpr std::array<Magic, 6> kMagic{{{"PK\x03\x04", "a zip archive"},
                                                {"\xfd"
                                                 "7zXZ",
                                                 "xz data"},
                                                {"BZh", "bzip2 data"},
                                                {"\x28\xb5\x2f\xfd", "zstd data"},
                                                {"7z\xbc\xaf", "a 7z archive"},
                                                {"\x1f\x8b", "gzip data that is damaged or holds no tar"}}};
  for (const Magic& magic : kMagic) {
    if (bytes.starts_with(magic.begin)) return magic.name;
  }
  return bytes.find('\0') != std::string_view::npos ? "neither a tar nor text" : nullptr;
}

Result<void> write_file(ArchiveReader& reader, const ArchiveEntry& entry, const std::string& path,
                        FolderWriter* writer) {
  std::optional<FolderWriter::File> file;
  if (writer != nullptr) {
    Result<FolderWriter::File> made = writer->make_file(path);
    if (!made) return Unexpected(made.error());
    file.emplace(std::move(*made));
  }
  while (true) {
    const Result<std::optional<ArchiveBlock>> block = reader.read();
    if (!block) return Unexpected(block.error());
    if (!*block) break;
    if ((*block)->offset > entry.size || (*block)->bytes.size() > entry.size - (*block)->offset) {
      return Unexpected(ErrorCode::kInvalid,
                        fmt::format("the entry \"{:.200}\" is longer than it says", path));
    }
    if (file) {
      if (Result<void> written = file->write(**block); !written) return written;
    }
  }
  return file ? file->finish(entry) : Result<void>();
}

std::string joined(const std::vector<std::string>& parts) {
  std::string path;
  for (const std::string& part : parts) path += (path.empty() ? "" : "/") + part;
  return path;
}

// The entry has passed the tree.
Result<void> write_entry(ArchiveReader& reader, const ArchiveEntry& entry, FolderWriter* writer) {
  const std::string path = joined(*archive_path(entry.path));
  if (entry.kind == ArchiveEntry::Kind::kFile) return write_file(reader, entry, path, writer);
  if (writer == nullptr || path.empty()) return {};
  if (entry.kind == ArchiveEntry::Kind::kFolder) return writer->make_folder(path);
  if (entry.kind == ArchiveEntry::Kind::kSymlink) return writer->make_symlink(path, entry.target);
  return writer->make_hard_link(path, joined(*archive_path(entry.target)));
}

}  // namespace

std::string code_name(std::string_view sha256, std::string_view single_file) {
  std::string name(sha256);
  if (!single_file.empty()) name.append("-").append(sha256_hex(single_file), 0, kMarkSize);
  return name;
}

std::string_view sha256_of(std::string_view code_name) {
  const std::string_view digest = code_name.substr(0, kDigestSize);
  const std::string_view mark = code_name.substr(digest.size());
  const bool is_mark =
      mark.empty() || (mark.size() == 1 + kMarkSize && mark[0] == '-' && is_hex(mark.substr(1)));
  return digest.size() == kDigestSize && is_hex(digest) && is_mark ? digest : std::string_view();
}

Result<CodeReader> CodeReader::open(const Function& function, std::string_view bytes,
                                    const CodeLimits& limits) {
  if (bytes.empty()) return refused("expected a tar, plain or gzip, or a single source file; it is empty");
  if (bytes.size() > limits.packed) {
    return Unexpected(ErrorCode::kTooLarge,
                      fmt::format("TarFunctionCode: {:.1f} MB are over the limit of {:g} MB",
                                  static_cast<double>(bytes.size()) / kMegabyte,
                                  static_cast<double>(limits.packed) / kMegabyte));
  }
  ArchiveReader reader(bytes);
  if (const auto first = reader.next(); first || reader.is_archive()) {
    return CodeReader(bytes, limits, "", code_name(sha256_hex(bytes), ""));
  }
  if (const char* what = foreign_archive(bytes)) {
    return refused(fmt::format("expected a tar, plain or gzip, or a single source file; it is {}", what));
  }
  const Result<std::string> file = module_file(function);
  if (!file) return Unexpected(file.error());
  return CodeReader(bytes, limits, *file, code_name(sha256_hex(bytes), *file));
}

Result<std::uint64_t> CodeReader::read(const Function& function, FolderWriter* writer) const {
  CodeTree tree;
  Result<std::uint64_t> size = single_file_.empty() ? read_tar(tree, writer) : read_single(tree, writer);
  if (!size) return about_code(std::move(size).error());
  if (Result<void> checked = tree.check_links(); !checked) return about_code(std::move(checked).error());
  if (Result<void> checked = check_module(function, tree); !checked)
    return about_code(std::move(checked).error());
  return size;
}

Result<std::uint64_t> CodeReader::read_single(CodeTree& tree, FolderWriter* writer) const {
  ArchiveEntry entry{
      .kind = ArchiveEntry::Kind::kFile, .path = single_file_, .target = {}, .size = bytes_.size()};
  if (bytes_.size() > limits_.unpacked) return too_large();
  if (Result<void> added = tree.add(entry); !added) return Unexpected(added.error());
  if (writer == nullptr) return bytes_.size();
  Result<FolderWriter::File> file = writer->make_file(single_file_);
  if (!file) return Unexpected(file.error());
  if (Result<void> written = file->write({bytes_, 0}); !written) return Unexpected(written.error());
  if (Result<void> finished = file->finish(entry); !finished) return Unexpected(finished.error());
  return bytes_.size();
}

Result<std::uint64_t> CodeReader::read_tar(CodeTree& tree, FolderWriter* writer) const {
  ArchiveReader reader(bytes_);
  std::uint64_t total = 0;
  for (std::uint64_t entries = 0;; ++entries) {
    const Result<std::optional<ArchiveEntry>> entry = reader.next();
    if (!entry) return Unexpected(entry.error());
    if (!*entry) return total;
    if (entries == limits_.entries) {
      return Unexpected(ErrorCode::kTooLarge,
                        fmt::format("TarFunctionCode: more than {} entries", limits_.entries));
    }
    // Before a byte of it is read: what it says it holds is what would be written, or skipped.
    const std::uint64_t names = (*entry)->path.size() + (*entry)->target.size();
    if ((*entry)->size > limits_.unpacked || names + (*entry)->size > limits_.unpacked - total)
      return too_large();
    total += names + (*entry)->size;
    if (Result<void> added = tree.add(**entry); !added) return Unexpected(added.error());
    if (Result<void> written = write_entry(reader, **entry, writer); !written)
      return Unexpected(written.error());
  }
}

Unexpected CodeReader::too_large() const {
  return {ErrorCode::kTooLarge, fmt::format("TarFunctionCode: unpacked it is over the limit of {:g} MB",
                                            static_cast<double>(limits_.unpacked) / kMegabyte)};
}

}  // namespace serverledge
