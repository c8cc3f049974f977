#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serverledge/core/key_value_store.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// Code that is too large for a function's record: pieces of 1 MiB under keys that are made of the function's
/// name and the digest of the code, so that what is written never changes. Thread-safe.
class CodePieces {
 public:
  /// In the store, under the prefix that all nodes of a cluster know, or another one.
  explicit CodePieces(KeyValueStore& store, std::string prefix = "/serverledge/code/")
      : store_(store), prefix_(std::move(prefix)) {}

  /// Writes all pieces; what was written of them is removed again if one fails.
  Result<void> write(std::string_view function, std::string_view digest, std::string_view code);
  /// Reads them back; kNotFound if one is missing.
  Result<std::string> read(std::string_view function, std::string_view digest, std::uint64_t size);
  /// Removes them. What cannot be removed stays behind.
  void remove(std::string_view function, std::string_view digest);

  struct Owner {
    std::string function;
    std::string digest;
    bool operator==(const Owner&) const = default;
  };
  /// Whose pieces the store holds.
  Result<std::vector<Owner>> owners();

 private:
  std::string folder(std::string_view function, std::string_view digest) const;

  KeyValueStore& store_;
  const std::string prefix_;
};

}  // namespace serverledge
