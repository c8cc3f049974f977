#include "cluster/code_pieces.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace serverledge {
namespace {

constexpr std::size_t kPieceSize = std::size_t{1} << 20;

}  // namespace

std::optional<Function> with_pieces(const std::string& record) {
  auto stored = function_from_json(record);
  if (!stored || !stored->code_base64.empty() || stored->function.code_digest.empty()) return std::nullopt;
  return std::move(stored->function);
}

std::string CodePieces::folder(std::string_view function) const {
  return fmt::format("{}{}/", prefix_, function);
}

std::string CodePieces::folder(std::string_view function, std::string_view digest) const {
  return fmt::format("{}{}/", folder(function), digest);
}

/// One that is there already is as good, and another writer may rely on its revision.
Result<CodePieces::Condition> CodePieces::write_first(const std::string& key, std::string_view piece) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto created = store_.create(key, piece);
    if (created) return Condition{key, *created};
    if (created.error().code != ErrorCode::kExists) return Unexpected(created.error());
    const auto there = store_.get(key);
    if (!there) return Unexpected(there.error());
    if (!*there) continue;  // gone again
    if ((*there)->value == piece) return Condition{key, (*there)->revision};
    const auto mended = store_.put(key, piece);
    if (!mended) return Unexpected(mended.error());
    return Condition{key, *mended};
  }
  return Unexpected(ErrorCode::kUnavailable, fmt::format("others remove {} all the time; try again", key));
}

Result<CodePieces::Condition> CodePieces::write(std::string_view function, std::string_view digest,
                                                std::string_view code) {
  const std::string at = folder(function, digest);
  auto first = write_first(at + "0", code.substr(0, kPieceSize));
  if (!first) return first;
  for (std::size_t piece = 1; piece * kPieceSize < code.size(); ++piece) {
    const auto written = store_.put(at + std::to_string(piece), code.substr(piece * kPieceSize, kPieceSize));
    if (!written) return Unexpected(written.error());
  }
  return first;
}

Result<std::string> CodePieces::read(std::string_view function, std::string_view digest, std::uint64_t size) {
  const std::string at = folder(function, digest);
  std::string code;
  for (std::size_t piece = 0; piece * kPieceSize < size; ++piece) {
    const auto entry = store_.get(at + std::to_string(piece));
    if (!entry) return Unexpected(entry.error());
    if (!*entry) {
      return Unexpected(ErrorCode::kNotFound,
                        fmt::format("the code of function '{}' is not in the store", function),
                        fmt::format("{}{} is missing", at, piece));
    }
    code += (*entry)->value;
  }
  return code;
}

Result<void> CodePieces::remove(std::string_view function, std::string_view digest) {
  StoreTransaction removal;
  removal.removed_prefixes.push_back(folder(function, digest));
  if (const auto removed = store_.commit(removal); !removed) return Unexpected(removed.error());
  return {};
}

void CodePieces::remove_unused(const std::string& record_key, std::string_view function,
                               std::string_view digest) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto record = store_.get(record_key);
    if (!record) return;
    if (*record) {
      const auto stored = function_from_json((*record)->value);
      if (!stored) return;
      if (stored->code_base64.empty() && stored->function.code_digest == digest) return;
    }
    StoreTransaction removal;
    removal.conditions.push_back({record_key, *record ? (*record)->revision : 0});
    removal.removed_prefixes.push_back(folder(function, digest));
    const auto removed = store_.commit(removal);
    if (!removed || *removed) return;
  }
}

Result<std::vector<CodePieces::Owner>> CodePieces::owners() {
  const auto keys = store_.keys(prefix_);
  if (!keys) return Unexpected(keys.error());
  std::vector<Owner> owners;
  for (const std::string& key : *keys) {
    // <prefix><function>/<digest>/<n>
    const std::size_t last = key.rfind('/');
    const std::size_t middle = last == 0 ? std::string::npos : key.rfind('/', last - 1);
    if (middle == std::string::npos || middle < prefix_.size()) continue;
    Owner owner{key.substr(prefix_.size(), middle - prefix_.size()),
                key.substr(middle + 1, last - middle - 1)};
    if (owners.empty() || owners.back() != owner) owners.push_back(std::move(owner));
  }
  return owners;
}

}  // namespace serverledge
