#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>

namespace serverledge::test {

/// Makes tar archives in memory, hostile ones too: libarchive's writer puts down whatever it is told.
class TarBuilder {
 public:
  explicit TarBuilder(bool gzip = false, bool pax = true);
  ~TarBuilder();
  TarBuilder(const TarBuilder&) = delete;
  TarBuilder& operator=(const TarBuilder&) = delete;

  TarBuilder& file(const std::string& path, std::string_view content, unsigned mode = 0644,
                   std::time_t modified = 0);
  TarBuilder& folder(const std::string& path);
  TarBuilder& symlink(const std::string& path, const std::string& target);
  TarBuilder& hard_link(const std::string& path, const std::string& target);
  /// An entry of a file type (S_IFCHR, S_IFIFO ...), with a size and no content.
  TarBuilder& special(const std::string& path, unsigned type);
  /// A file of that many zeros.
  TarBuilder& zeros(const std::string& path, std::uint64_t size);
  std::string bytes();

 private:
  void entry(const std::string& path, unsigned type, unsigned mode, std::uint64_t size,
             const std::string& target, std::time_t modified);
  struct Writer;
  Writer* writer_;
};

/// A tar with one file, as the CLI sends it.
std::string tar_of(const std::string& path, std::string_view content);

}  // namespace serverledge::test
