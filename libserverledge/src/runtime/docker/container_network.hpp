#pragma once

#include <memory>
#include <string>

#include "runtime/docker/engine.hpp"
#include "serverledge/net/address_ranges.hpp"

namespace serverledge {

/// The network that a node's containers are in: one of its own, in which they cannot speak with each other,
/// or an existing one. Confined to one thread at a time.
class ContainerNetwork {
 public:
  /// `ranges` learns its addresses.
  ContainerNetwork(Engine& engine, AddressRanges& ranges);

  /// Makes it, or finds it as it should be.
  Result<void> open(TimePoint deadline);
  /// Removes the node's own.
  void remove(Duration patience) noexcept;
  const std::string& name() const { return name_; }

 private:
  Result<void> make(TimePoint deadline);
  /// Reads it; whether it is what is wanted.
  Result<bool> read(TimePoint deadline);

  Engine& engine_;
  AddressRanges& ranges_;
  bool own_ = true;
  bool internal_ = false;
  std::string name_;
};

/// The name of a node's own network.
std::string network_name(const std::string& node_id);

}  // namespace serverledge
