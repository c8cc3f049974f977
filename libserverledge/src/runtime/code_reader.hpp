#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/code_tree.hpp"
#include "runtime/folder_writer.hpp"
#include "serverledge/core/function.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

struct CodeLimits {
  std::uint64_t packed = 0;    ///< bytes as sent
  std::uint64_t unpacked = 0;  ///< bytes of content and names
  std::uint64_t entries = 0;
};

/// SHA-256 of a function's code; for a single file, which is another folder under each name that a handler
/// gives it, followed by a mark of that name.
std::string code_name(std::string_view sha256, std::string_view single_file);
/// The SHA-256 in such a name; empty if it is none.
std::string_view sha256_of(std::string_view code_name);

/// A function's code as it was sent: a tar (plain or gzip) or one source file. Reads it against the limits
/// and the rules of CodeTree, and writes it as it goes if it is to be unpacked; one pass, nothing of it in
/// memory but the names. Errors name the field of the request that is wrong. Thread-compatible.
class CodeReader {
 public:
  /// Tells what the bytes are. They must outlive the reader. kTooLarge, kInvalid.
  static Result<CodeReader> open(const Function& function, std::string_view bytes, const CodeLimits& limits);

  /// What the unpacked code is known by: code_name.
  const std::string& digest() const { return digest_; }
  /// Reads everything, into `writer` unless it is null: bytes of content and names. kInvalid, kTooLarge, and
  /// the writer's errors.
  Result<std::uint64_t> read(const Function& function, FolderWriter* writer) const;

 private:
  CodeReader(std::string_view bytes, const CodeLimits& limits, std::string single_file, std::string digest)
      : bytes_(bytes), limits_(limits), single_file_(std::move(single_file)), digest_(std::move(digest)) {}
  Result<std::uint64_t> read_tar(CodeTree& tree, FolderWriter* writer) const;
  Result<std::uint64_t> read_single(CodeTree& tree, FolderWriter* writer) const;
  Unexpected too_large() const;

  std::string_view bytes_;
  CodeLimits limits_;
  std::string single_file_;  // its name; empty for an archive
  std::string digest_;
};

}  // namespace serverledge
