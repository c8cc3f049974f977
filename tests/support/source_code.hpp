#pragma once

#include <map>
#include <mutex>
#include <string>

#include "serverledge/core/container_runtime.hpp"
#include "serverledge/core/function_registry.hpp"

namespace serverledge::test {

/// The code of functions in memory, in the place of a registry. Thread-safe.
class SourceCode final : public CodeSource {
 public:
  /// Keeps `code` as that of `function`, after the archive has checked it, and sets its digest and size.
  Result<void> add(Function& function, const std::string& code, CodeArchive& archive) {
    const Result<CodeArchive::Checked> checked = archive.check(function, code);
    if (!checked) return Unexpected(checked.error());
    function.code_digest = checked->digest.substr(0, 64);  // as the registry has it: SHA-256 alone
    function.code_size = checked->packed_bytes;
    const std::scoped_lock guard(mutex_);
    codes_[function.code_digest] = code;
    return {};
  }

  Result<std::string> code(const Function& function) override {
    const std::scoped_lock guard(mutex_);
    const auto found = codes_.find(function.code_digest);
    if (found == codes_.end()) return Unexpected(ErrorCode::kUnavailable, "no such code");
    return found->second;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> codes_;
};

}  // namespace serverledge::test
