#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serverledge/core/function.hpp"
#include "serverledge/core/key_value_store.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// What a record says of code that lies in pieces; nothing if its code stands in it, or it cannot be read.
std::optional<Function> with_pieces(const std::string& record);

/// Code that is too large for a function's record: pieces of 1 MiB under keys that are made of the function's
/// name and the digest of the code, so that what is written never changes.
///
/// Pieces are removed all at once, and by whoever sees that no record refers to them. So a writer, whose
/// record is to come, makes it a condition of the record that the first piece, which it wrote first, has
/// stayed. Thread-safe.
class CodePieces {
 public:
  /// How often a change is tried that other nodes get in between of; each time one of theirs has been made.
  static constexpr int kAttempts = 10;

  /// In the store, under the prefix that all nodes of a cluster know, or another one.
  explicit CodePieces(KeyValueStore& store, std::string prefix = "/serverledge/code/")
      : store_(store), prefix_(std::move(prefix)) {}

  using Condition = StoreTransaction::Condition;
  /// Writes all pieces. They are there for as long as what it returns holds. If one fails, those before it
  /// stay.
  Result<Condition> write(std::string_view function, std::string_view digest, std::string_view code);
  /// Reads them back; kNotFound if one is missing.
  Result<std::string> read(std::string_view function, std::string_view digest, std::uint64_t size);
  /// Removes them, whoever needs them.
  Result<void> remove(std::string_view function, std::string_view digest);
  /// Removes them unless the record under that key, as the store has it, refers to them or cannot be read.
  /// What cannot be removed stays behind.
  void remove_unused(const std::string& record_key, std::string_view function, std::string_view digest);

  /// What the keys of all pieces of that code begin with.
  std::string folder(std::string_view function, std::string_view digest) const;
  /// The same of all code of that function.
  std::string folder(std::string_view function) const;

  struct Owner {
    std::string function;
    std::string digest;
    bool operator==(const Owner&) const = default;
  };
  /// Whose pieces the store holds.
  Result<std::vector<Owner>> owners();

 private:
  Result<Condition> write_first(const std::string& key, std::string_view piece);

  KeyValueStore& store_;
  const std::string prefix_;
};

}  // namespace serverledge
