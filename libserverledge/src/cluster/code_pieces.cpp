#include "cluster/code_pieces.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace serverledge {
namespace {

constexpr std::size_t kPieceSize = std::size_t{1} << 20;

}  // namespace

std::string CodePieces::folder(std::string_view function, std::string_view digest) const {
  return fmt::format("{}{}/{}/", prefix_, function, digest);
}

Result<void> CodePieces::write(std::string_view function, std::string_view digest, std::string_view code) {
  const std::string at = folder(function, digest);
  for (std::size_t piece = 0; piece * kPieceSize < code.size(); ++piece) {
    const auto written = store_.put(at + std::to_string(piece), code.substr(piece * kPieceSize, kPieceSize));
    if (written) continue;
    remove(function, digest);
    return Unexpected(written.error());
  }
  return {};
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

void CodePieces::remove(std::string_view function, std::string_view digest) {
  const auto keys = store_.keys(folder(function, digest));
  if (!keys) return;
  for (const std::string& key : *keys) {
    if (!store_.remove(key)) return;
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
