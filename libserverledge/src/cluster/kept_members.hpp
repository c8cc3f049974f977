#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/key_value_store.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// The registrations of areas as they were last known, a file for each area, for whoever starts while the
/// store is away. They are replaced whole, so that several processes may have the same folder; after power
/// loss they may be missing, or older. Thread-safe for different areas.
class KeptMembers {
 public:
  explicit KeptMembers(std::string folder) : folder_(std::move(folder)) {}

  /// What was kept, without revisions; not checked, and nothing if it cannot be read.
  std::vector<StoredEntry> load(std::string_view area) const;
  /// Keeps these, which have neither spaces nor line ends in their keys. kUnavailable, kDiskFull.
  Result<void> keep(std::string_view area, const std::vector<StoredEntry>& entries) const;

 private:
  std::string file(std::string_view area) const;

  const std::string folder_;
};

}  // namespace serverledge
