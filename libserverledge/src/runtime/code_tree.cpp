#include "runtime/code_tree.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace serverledge {
namespace {

constexpr std::size_t kLongestName = 255;
constexpr std::size_t kLongestPath = 4000;  // with the folder before it, below PATH_MAX
constexpr std::size_t kDeepest = 128;
constexpr std::int64_t kMostSteps = 5'000'000;
constexpr int kMostLinks = 40;  // the kernel's own bound on links in one path

Unexpected refused(std::string_view path, std::string_view why) {
  return {ErrorCode::kInvalid, fmt::format("the entry \"{:.200}\" {}", path, why)};
}

}  // namespace

Result<std::vector<std::string>> archive_path(std::string_view path) {
  const std::string_view shown = path;
  if (path.empty()) return refused(shown, "has no name");
  if (path.front() == '/') return refused(shown, "has an absolute name");
  if (path.size() > kLongestPath) return refused(shown, "has too long a name");
  std::vector<std::string> parts;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    if (part.empty() || part == ".") continue;
    if (part == "..") return refused(shown, "leaves the folder by \"..\"");
    if (part.size() > kLongestName) return refused(shown, "has too long a name");
    parts.emplace_back(part);
  }
  if (parts.size() > kDeepest) return refused(shown, "lies too deep");
  return parts;
}

Result<CodeTree::Node*> CodeTree::folder_for(const std::vector<std::string>& parts,
                                             const std::string& shown) {
  Node* at = &root_;
  for (std::size_t index = 0; index + 1 < parts.size(); ++index) {
    at = &at->below[parts[index]];
    if (at->kind != Kind::kFolder) {
      return refused(shown, fmt::format("lies in \"{}\", which is no folder", parts[index]));
    }
  }
  return at;
}

Result<void> CodeTree::add(const ArchiveEntry& entry) {
  const Result<std::vector<std::string>> parts = archive_path(entry.path);
  if (!parts) return Unexpected(parts.error());
  if (entry.kind == ArchiveEntry::Kind::kOther) {
    return refused(entry.path, "is a device, socket or fifo: expected files, folders and links");
  }
  if (parts->empty()) {
    if (entry.kind == ArchiveEntry::Kind::kFolder) return {};
    return refused(entry.path, "takes the place of the folder itself");
  }
  Result<Node*> parent = folder_for(*parts, entry.path);
  if (!parent) return Unexpected(parent.error());
  if (entry.kind == ArchiveEntry::Kind::kHardLink) {
    const Result<std::vector<std::string>> target = archive_path(entry.target);
    if (!target) return Unexpected(target.error());
    const Node* original = &root_;
    for (const std::string& part : *target) {
      const auto found = original->below.find(part);
      if (found == original->below.end()) return refused(entry.path, "is a hard link to nothing before it");
      original = &found->second;
    }
    if (original->kind != Kind::kFile) return refused(entry.path, "is a hard link to what is no file");
  }
  const auto [place, is_new] = (*parent)->below.try_emplace(parts->back());
  Node& node = place->second;
  if (entry.kind == ArchiveEntry::Kind::kFolder) {
    if (node.kind != Kind::kFolder) return refused(entry.path, "is a folder in the place of something else");
    return {};
  }
  if (!is_new && node.kind == Kind::kFolder) return refused(entry.path, "takes the place of a folder");
  if (entry.kind == ArchiveEntry::Kind::kSymlink) {
    if (entry.target.empty()) return refused(entry.path, "is a link to nothing");
    if (entry.target.front() == '/' || entry.target.size() > kLongestPath) {
      return refused(entry.path, fmt::format("is a link out of the folder, to \"{:.200}\"", entry.target));
    }
    node = {Kind::kSymlink, entry.target, {}};
  } else {
    node = {Kind::kFile, {}, {}};
  }
  return {};
}

CodeTree::Outcome CodeTree::walk(Way& way, std::string_view path, Budget& budget) const {
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    if (--budget.steps < 0) return Outcome::kTangled;
    if (part.empty() || part == ".") continue;
    if (way.back()->kind != Kind::kFolder) return Outcome::kMissing;
    if (part == "..") {
      if (way.size() == 1) return Outcome::kOutside;
      way.pop_back();
      continue;
    }
    const auto found = way.back()->below.find(std::string(part));
    if (found == way.back()->below.end()) return Outcome::kMissing;
    if (found->second.kind != Kind::kSymlink) {
      way.push_back(&found->second);
      continue;
    }
    if (--budget.links < 0) return Outcome::kMissing;  // a loop: the kernel gives up too
    if (const Outcome outcome = walk(way, found->second.target, budget); outcome != Outcome::kFound) {
      return outcome;
    }
  }
  return Outcome::kFound;
}

Result<void> CodeTree::check_links() const {
  Way way{&root_};
  Budget budget{kMostLinks, kMostSteps};
  return check_links(way, "", budget);
}

Result<void> CodeTree::check_links(Way& way, const std::string& shown, Budget& budget) const {
  for (const auto& [name, node] : way.back()->below) {
    const std::string path = shown + name;
    if (node.kind == Kind::kSymlink) {
      Way from = way;
      budget.links = kMostLinks;
      const Outcome outcome = walk(from, node.target, budget);
      if (outcome == Outcome::kTangled)
        return refused(path, "and the other links are too many and too long to follow");
      if (outcome == Outcome::kOutside) {
        return refused(path, fmt::format("is a link out of the folder, to \"{:.200}\"", node.target));
      }
    } else if (node.kind == Kind::kFolder) {
      way.push_back(&node);
      if (Result<void> checked = check_links(way, path + '/', budget); !checked) return checked;
      way.pop_back();
    }
  }
  return {};
}

std::optional<CodeTree::Kind> CodeTree::find(std::string_view path) const {
  Way way{&root_};
  Budget budget{kMostLinks, kMostSteps};
  if (walk(way, path, budget) != Outcome::kFound) return std::nullopt;
  return way.back()->kind;
}

bool CodeTree::has_file(std::string_view folder, std::string_view begin, std::string_view end) const {
  Way way{&root_};
  Budget budget{kMostLinks, kMostSteps};
  if (walk(way, folder, budget) != Outcome::kFound) return false;
  for (const auto& [name, node] : way.back()->below) {
    if (node.kind != Kind::kFolder && name.starts_with(begin) && name.ends_with(end)) return true;
  }
  return false;
}

std::string CodeTree::summary() const {
  constexpr std::size_t kShown = 10;
  std::string text;
  std::size_t count = 0;
  for (const auto& [name, node] : root_.below) {
    if (count++ == kShown) return fmt::format("{} and {} more", text, root_.below.size() - kShown);
    text += fmt::format("{}{:.60}{}", text.empty() ? "" : ", ", name, node.kind == Kind::kFolder ? "/" : "");
  }
  return text.empty() ? "nothing" : text;
}

}  // namespace serverledge
