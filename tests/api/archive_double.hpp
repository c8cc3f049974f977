#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/container_runtime.hpp"

namespace serverledge::test {

/// Accepts any code but "garbage".
class ArchiveDouble final : public CodeArchive {
 public:
  Result<Checked> check(const Function& function, std::string_view bytes) override {
    if (bytes == "garbage")
      return Unexpected(ErrorCode::kInvalid, "Handler: no module for " + function.handler);
    return Checked{"digest of " + std::string(bytes), bytes.size(), bytes.size()};
  }
  Result<std::string> unpack(const Function&, std::string_view) override { return std::string(); }
  std::optional<std::string> folder(std::string_view) const override { return std::nullopt; }
  void collect(const std::vector<std::string>&) override {}
};

}  // namespace serverledge::test
