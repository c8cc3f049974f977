#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// A new folder that only this user may enter, removed with all that is in it.
class PrivateFolder {
 public:
  /// kUnavailable if it cannot be made.
  static Result<PrivateFolder> make(const std::string& parent);
  PrivateFolder(PrivateFolder&& other) noexcept;
  PrivateFolder& operator=(PrivateFolder&&) = delete;
  ~PrivateFolder();

  std::string file(std::string_view name) const { return path_ + '/' + std::string(name); }
  Result<void> write(std::string_view name, std::string_view bytes) const;
  /// The bytes of a file; none if it is not there. kTooLarge beyond the limit, kInvalid if it is no regular
  /// file.
  Result<std::string> read(std::string_view name, std::size_t most) const;

 private:
  explicit PrivateFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;  // empty: nothing to remove
};

}  // namespace serverledge
