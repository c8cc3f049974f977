#include "cluster/kept_members.hpp"

#include <fmt/format.h>

#include <fstream>

#include "cluster/private_files.hpp"

namespace serverledge {
namespace {

/// More lines than there can be nodes are not read: the file is not ours.
constexpr std::size_t kMostLines = 100'000;

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
  return replace_private_file(file(area), text);
}

}  // namespace serverledge
