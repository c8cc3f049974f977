#include "cluster/kept_members.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <system_error>
#include <utility>

#include "cluster/private_files.hpp"
#include "net/file_descriptor.hpp"

namespace serverledge {
namespace {

/// More lines than there can be nodes are not read: the file is not ours.
constexpr std::size_t kMostLines = 100'000;

Unexpected not_kept(const std::string& file, int error_number) {
  return Unexpected(is_no_space(error_number) ? ErrorCode::kDiskFull : ErrorCode::kUnavailable,
                    fmt::format("cannot write {}: {}", file, std::generic_category().message(error_number)));
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

std::string KeptMembers::file(std::string_view area) const {
  return fmt::format("{}/area-{}", folder_, area);
}

std::vector<StoredEntry> KeptMembers::load(std::string_view area) const {
  std::vector<StoredEntry> entries;
  std::ifstream in(file(area), std::ios::binary);
  for (std::string line; entries.size() < kMostLines && std::getline(in, line);) {
    const std::size_t space = line.find(' ');
    if (space == std::string::npos) continue;
    entries.push_back({line.substr(0, space), line.substr(space + 1), 0});
  }
  return entries;
}

Result<void> KeptMembers::keep(std::string_view area, const std::vector<StoredEntry>& entries) const {
  if (auto made = make_private_folder(folder_); !made) return made;
  std::string text;
  for (const StoredEntry& entry : entries) text += fmt::format("{} {}\n", entry.key, entry.value);
  const std::string name = file(area);
  std::string scratch = name + ".XXXXXX";
  const FileDescriptor fd(::mkostemp(scratch.data(), O_CLOEXEC));
  if (!fd.valid()) return not_kept(name, errno);
  if (write_all(fd.get(), text) && ::rename(scratch.c_str(), name.c_str()) == 0) return {};
  const int failure = errno;
  ::unlink(scratch.c_str());
  return not_kept(name, failure);
}

}  // namespace serverledge
