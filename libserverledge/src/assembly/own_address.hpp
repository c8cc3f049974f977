#pragma once

#include <string>
#include <vector>

#include "serverledge/core/configuration.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// How the others in the cluster reach this process: `api.ip`, else the address from which it reaches etcd,
/// which is looked at anew each time. A value; thread-safe.
class OwnAddress {
 public:
  explicit OwnAddress(const Configuration& configuration);
  /// kUnavailable while it cannot be told.
  Result<std::string> get() const;
  /// Sentences for the operator; `who` is "this node", `use` what only this machine could do with a loopback
  /// address.
  std::vector<std::string> notices(const std::string& who, const std::string& use) const;

 private:
  std::string given_;
  std::string towards_;  // an endpoint of the store
};

/// kInvalid, naming the configuration key, if `name` cannot stand in the registry.
Result<void> check_registry_name(const char* key, const std::string& name);

}  // namespace serverledge
