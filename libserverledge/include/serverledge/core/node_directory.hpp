#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/peer_link.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// A node, or a load balancer, as it made itself known.
struct Registration {
  Peer peer;
  int udp_port = 0;  ///< of its status exchange
  bool operator==(const Registration&) const = default;
};

/// Those known in an area.
struct AreaMembers {
  std::vector<Registration> nodes;      ///< in the order of their keys
  std::vector<Registration> balancers;  ///< likewise
  bool operator==(const AreaMembers&) const = default;
};

/// What a node tells of itself to be found by others.
struct Enlistment {
  std::string key;
  std::string area;
  std::string arch;
  int port = 0;  ///< of its HTTP API
  int udp_port = 0;
  bool balancer = false;
  /// Its address as others reach it. Asked anew at each renewal: it may not be known yet, or change.
  std::function<Result<std::string>()> address;
};

/// Who belongs to an area of the cluster. Thread-safe.
class NodeDirectory {
 public:
  virtual ~NodeDirectory() = default;
  /// Makes this node known and keeps it so until `withdraw`, also after its store was away or lost its data.
  /// Returns at once: what fails is tried again.
  virtual void enlist(Enlistment self) = 0;
  /// Makes it unknown again; if the store is away, the registration ends with its lease.
  virtual void withdraw() = 0;
  /// Those known in one of the areas that this directory follows, as last told by the store.
  virtual AreaMembers members(std::string_view area) const = 0;
  /// Called when the members of some area have changed, on the store's thread: it must not block. Replaces
  /// the one before; when it returns, that one is not called any more.
  virtual void on_change(std::function<void()> changed) = 0;
};

}  // namespace serverledge
