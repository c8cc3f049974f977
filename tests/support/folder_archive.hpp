#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "serverledge/core/container_runtime.hpp"
#include "serverledge/core/function_registry.hpp"

namespace serverledge::test {

/// Functions whose code is one source file, in memory and unpacked below a folder: what a runtime needs of
/// archive and store, without either. Thread-safe.
class FolderArchive final : public CodeArchive, public CodeSource {
 public:
  explicit FolderArchive(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// Keeps `source` as the code of `function` and sets its digest. `file` is the name it will have.
  void add(Function& function, const std::string& source, const std::string& file) {
    const std::scoped_lock guard(mutex_);
    function.code_digest = std::to_string(std::hash<std::string>{}(source)) + '-' + file;
    function.code_size = source.size();
    codes_[function.code_digest] = {source, file};
  }

  Result<std::string> code(const Function& function) override {
    const std::scoped_lock guard(mutex_);
    const auto found = codes_.find(function.code_digest);
    if (found == codes_.end()) return Unexpected(ErrorCode::kUnavailable, "no such code");
    return found->second.source;
  }
  Result<Checked> check(const Function& function, std::string_view bytes) override {
    return Checked{function.code_digest, bytes.size(), bytes.size()};
  }
  Result<std::string> unpack(const Function& function, std::string_view bytes) override {
    const std::scoped_lock guard(mutex_);
    const std::filesystem::path to = folder_ / function.code_digest;
    std::filesystem::create_directories(to);
    const std::filesystem::path file = to / codes_.at(function.code_digest).file;
    std::ofstream(file) << bytes;
    // Readable by the sandboxes' users whatever the umask.
    std::filesystem::permissions(to, static_cast<std::filesystem::perms>(0755));
    std::filesystem::permissions(file, static_cast<std::filesystem::perms>(0644));
    return to.string();
  }
  std::optional<std::string> folder(std::string_view digest) const override {
    const std::filesystem::path path = folder_ / digest;
    if (!std::filesystem::exists(path)) return std::nullopt;
    return path.string();
  }
  void collect(const std::vector<std::string>& /*keep*/) override {}

 private:
  struct Code {
    std::string source;
    std::string file;
  };
  const std::filesystem::path folder_;
  std::mutex mutex_;
  std::map<std::string, Code> codes_;
};

}  // namespace serverledge::test
