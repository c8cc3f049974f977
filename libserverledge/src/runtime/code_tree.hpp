#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/archive_reader.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// The parts of a path in an archive, "." and double slashes left out. kInvalid if it is absolute, holds
/// "..", or has a part that no file system takes. Empty for the folder itself ("./").
Result<std::vector<std::string>> archive_path(std::string_view path);

/// The names of an archive as they will stand in the folder: decides which entry may be unpacked, and where
/// links lead, without a file system. Thread-compatible.
class CodeTree {
 public:
  enum class Kind { kFile, kFolder, kSymlink };

  /// Adds an entry; kInvalid naming it and what is wrong with it. Folders on its way are added. A file or
  /// link that is there already is replaced, as tar does.
  Result<void> add(const ArchiveEntry& entry);
  /// After the last entry: kInvalid if a link leads out of the folder.
  Result<void> check_links() const;
  /// What is at the path, links followed: a file or a folder. nullopt if nothing is.
  std::optional<Kind> find(std::string_view path) const;
  /// Whether a folder holds a file whose name begins and ends like this (an extension module).
  bool has_file(std::string_view folder, std::string_view begin, std::string_view end) const;
  /// The first names in the folder itself, for messages: "main.py, lib/".
  std::string summary() const;

 private:
  struct Node {
    Kind kind = Kind::kFolder;
    std::string target;                 // of a link
    std::map<std::string, Node> below;  // of a folder
  };
  enum class Outcome { kFound, kMissing, kOutside, kTangled };
  // What may still be spent on following links, so that a few hostile ones do not cost hours.
  struct Budget {
    int links;           // in one path
    std::int64_t steps;  // in all paths
  };
  using Way = std::vector<const Node*>;
  Result<Node*> folder_for(const std::vector<std::string>& parts, const std::string& shown);
  /// Goes along `path` from the end of `way` as the kernel would, following links.
  Outcome walk(Way& way, std::string_view path, Budget& budget) const;
  Result<void> check_links(Way& way, const std::string& shown, Budget& budget) const;

  Node root_;
};

}  // namespace serverledge
