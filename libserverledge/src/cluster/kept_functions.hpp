#pragma once

#include <string>
#include <vector>

#include "cluster/code_pieces.hpp"
#include "serverledge/core/key_value_store.hpp"

namespace serverledge {

/// What a node of a cluster keeps of the cluster's functions on its own disk: every record byte for byte,
/// with the cluster's revision of it, large code in pieces, and the name of the data that the revisions
/// belong to. Under keys of its own, so that the node's own functions, from a time without a cluster, stay
/// apart. Thread-safe.
class KeptFunctions {
 public:
  explicit KeptFunctions(KeyValueStore& disk) : disk_(disk), pieces_(disk, "kept/code/") {}

  /// All records, with the keys that they have in the cluster. What cannot be read is left out.
  Result<std::vector<StoredEntry>> records();
  Result<std::optional<StoredEntry>> record(const std::string& key);
  Result<void> keep(const StoredEntry& record);
  /// Removes the record and the pieces of its code.
  Result<void> forget(const std::string& key);

  /// Name of the data in the cluster; empty at first.
  Result<std::string> incarnation();
  Result<void> belong_to(const std::string& incarnation);

  CodePieces& code() { return pieces_; }

 private:
  KeyValueStore& disk_;
  CodePieces pieces_;
};

}  // namespace serverledge
